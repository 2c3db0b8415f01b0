package decode

import (
	"strconv"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// errorCodes reads which answers are errors to outlier detection: those of certain status codes, one or several.
func (r *read) errorCodes(path string, m *commonv3.MatchPredicate) *config.Codes {
	out := &config.Codes{}
	if set := m.GetOrMatch(); set != nil {
		path += ".or_match.rules"
		if len(set.GetRules()) < 2 {
			r.add(path, "want two or more")
		}
		for i, rule := range set.GetRules() {
			r.errorCode(path+indexed(i), rule, out)
		}
	} else {
		r.errorCode(path, m, out)
	}
	return out
}

func (r *read) errorCode(path string, m *commonv3.MatchPredicate, into *config.Codes) {
	path += ".http_response_headers_match.headers"
	headers := m.GetHttpResponseHeadersMatch().GetHeaders()
	if len(headers) != 1 {
		r.add(path, "want one, :status with its value; a predicate of another kind is not looked at")
		return
	}
	path += "[0]"
	h := headers[0]
	for field, set := range map[string]bool{".name": h.GetName() != ":status", ".invert_match": h.GetInvertMatch(), ".treat_missing_header_as_empty": h.GetTreatMissingHeaderAsEmpty()} {
		if set {
			r.add(path+field, "want :status with the exact value of a status code")
		}
	}
	code, err := strconv.Atoi(h.GetStringMatch().GetExact())
	if h.GetStringMatch().GetIgnoreCase() || err != nil || !into.Add(code) {
		if h.GetStringMatch() != nil {
			path += ".string_match"
		}
		r.add(path, "want the exact value of a status code as string_match")
	}
}
