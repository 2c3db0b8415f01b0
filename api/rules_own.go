package api

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// judge is a rule about several fields of a message.
type judge = func(map[string]any) (at string, m mistake)

func atLeast(low float64) rule {
	return func(v any) mistake {
		if n, ok := number(v); ok && n < low {
			return bad("", "%v is less than %v", v, low)
		}
		return mistake{}
	}
}

func waypointOnly(m map[string]any) (string, mistake) {
	if at := text(m, "context") == "WAYPOINT"; at != given(m, "waypoint") {
		if at {
			return "waypoint", bad("give it, or choose another context", "context WAYPOINT needs a waypoint match")
		}
		return "waypoint", bad("set context: WAYPOINT", "a waypoint match is for context WAYPOINT only")
	}
	return "", mistake{}
}

func notEverything(v any) mistake {
	if v == "*" {
		return bad("name the hosts", `host "*" is not allowed here`)
	}
	return mistake{}
}

// reachable wants the address of an endpoint, or the network whose gateway leads to it.
func reachable(v any) mistake {
	if m, ok := v.(map[string]any); ok && !given(m, "address") && !given(m, "network") {
		return bad("give address", "it has neither address nor network")
	}
	return mistake{}
}

func blocks(m map[string]any) (string, mistake) {
	list, _ := m["addresses"].([]any)
	switch text(m, "resolution") {
	case "", "NONE", "STATIC":
		return "", mistake{}
	}
	for i, a := range list {
		if s, _ := a.(string); strings.Contains(s, "/") {
			return "addresses[" + strconv.Itoa(i) + "]", bad("give single addresses, or resolution STATIC or NONE", "%s is a block of addresses, which resolution %s does not take", cut(s), text(m, "resolution"))
		}
	}
	return "", mistake{}
}

func noEndpoints(m map[string]any) (string, mistake) {
	if r := text(m, "resolution"); (r == "" || r == "NONE") && given(m, "endpoints") {
		return "endpoints", bad("give resolution STATIC or DNS", "resolution NONE sends requests where they were going, and takes no endpoints")
	}
	return "", mistake{}
}

func oneEndpoint(m map[string]any) (string, mistake) {
	if list, _ := m["endpoints"].([]any); text(m, "resolution") == "DNS_ROUND_ROBIN" && len(list) > 1 {
		return "endpoints", bad("give one, or resolution DNS", "resolution DNS_ROUND_ROBIN takes one endpoint, not %d", len(list))
	}
	return "", mistake{}
}

func socket(v any) mistake {
	s, _ := v.(string)
	path, ok := strings.CutPrefix(s, "unix://")
	switch {
	case !ok:
	case !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@"):
		return bad("write unix:///PATH or unix://@NAME", "%q is neither an absolute path nor an abstract socket", cut(s))
	case strings.HasSuffix(path, "/"):
		return bad("name the socket", "%q is a folder", cut(s))
	}
	return mistake{}
}

func socketWithoutPorts(m map[string]any) (string, mistake) {
	if strings.HasPrefix(text(m, "address"), "unix://") && given(m, "ports") {
		return "ports", bad("leave it out", "a unix socket has no ports")
	}
	return "", mistake{}
}

var portNames = regexp.MustCompile(`^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$`)

func portName(k string) mistake {
	if len(k) >= 63 || !portNames.MatchString(k) {
		return bad("letters, digits and -, below 63 characters", "%q is not the name of a port", cut(k))
	}
	return mistake{}
}

func portKey(k string) mistake {
	if n, err := strconv.Atoi(k); err != nil || n < 1 || n > 65535 {
		return bad("", "%q is not a port number", cut(k))
	}
	return mistake{}
}

func labelKey(k string) mistake {
	switch {
	case k == "":
		return bad("", "the key of a label is empty")
	case strings.Contains(k, "*"):
		return withoutStar(k)
	}
	return mistake{}
}

func accountsAlone(m map[string]any) (string, mistake) {
	for _, field := range []string{"serviceAccounts", "notServiceAccounts"} {
		for _, other := range []string{"principals", "notPrincipals", "namespaces", "notNamespaces"} {
			if given(m, field) && given(m, other) {
				return field, bad("a service account says its namespace; leave "+other+" out", "%s and %s may not be given together", field, other)
			}
		}
	}
	return "", mistake{}
}

func portsOfSome(m map[string]any) (string, mistake) {
	selector, _ := m["selector"].(map[string]any)
	labels, _ := selector["matchLabels"].(map[string]any)
	other, _ := selector["match_labels"].(map[string]any) // the schema's own name of the field
	if given(m, "portLevelMtls") && len(labels)+len(other) == 0 {
		return "portLevelMtls", bad("give selector.matchLabels", "modes of ports are for chosen workloads, and no selector is given")
	}
	return "", mistake{}
}

func scheme(v any, schemes ...string) bool {
	s, ok := v.(string)
	u, err := url.Parse(s)
	return !ok || err == nil && slices.Contains(schemes, u.Scheme)
}

func web(v any) mistake {
	if !scheme(v, "http", "https") {
		return bad("", "%q does not begin with http:// or https://", cut(v.(string)))
	}
	return mistake{}
}

// module judges the address of a module; without a scheme it is that of an image.
func module(v any) mistake {
	s, _ := v.(string)
	if strings.Contains(s, "://") && !scheme(v, "http", "https", "file", "oci") {
		return bad("", "%q does not begin with oci://, https://, http:// or file://", cut(s))
	}
	if _, err := url.Parse("http://" + s); err != nil && !strings.Contains(s, "://") {
		return bad("", "%q is not the address of a module", cut(s))
	}
	return mistake{}
}

func inlineValue(m map[string]any) (string, mistake) {
	if text(m, "valueFrom") == "HOST" && given(m, "value") {
		return "value", bad("leave one of them out", "valueFrom HOST takes the value from the proxy's environment")
	}
	return "", mistake{}
}

func wasmOrLua(m map[string]any) (string, mistake) {
	if !given(m, "wasm") && !given(m, "lua") {
		return "", bad("give one of them", "wasm and lua are both missing")
	}
	return "", mistake{} // both together are refused as a oneof
}

func valueOfTag(m map[string]any) (string, mistake) {
	switch {
	case text(m, "operation") == "UPSERT" && text(m, "value") == "":
		return "value", bad("give an expression", "operation UPSERT needs a value")
	case text(m, "operation") == "REMOVE" && given(m, "value"):
		return "value", bad("leave it out", "operation REMOVE takes no value")
	}
	return "", mistake{}
}
