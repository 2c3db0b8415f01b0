package istio

import (
	"strings"

	"github.com/heddle-mesh/heddle/control/config/retry"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) retry(x *networking.HTTPRetry, path string) *mesh.Retry {
	return retry.Read(x, func(field, message string) { v.Invalid(path+"."+field, "%s", message) })
}

func (v *visit) fault(x *networking.HTTPFaultInjection, path string) *mesh.Fault {
	if x == nil {
		return nil
	}
	if x.Delay == nil && x.Abort == nil {
		v.Invalid(path, "a fault needs delay, abort or both")
		return nil
	}
	f := &mesh.Fault{}
	if d := x.Delay; d != nil {
		f.DelayPercent = v.faultPercent(d.Percentage, d.Percent, path+".delay") //nolint:staticcheck // deprecated, and still written by users
		if t, ok := d.HttpDelayType.(*networking.HTTPFaultInjection_Delay_FixedDelay); ok {
			f.Delay = v.duration(t.FixedDelay, path+".delay.fixedDelay")
		} else if d.HttpDelayType == nil {
			v.Invalid(path+".delay", "fixedDelay is missing")
		} else { // Istio's API has the field, and refuses objects with it
			v.Add(mesh.CodeInvalid, path+".delay.exponentialDelay", "write fixedDelay", "no proxy can delay requests by a distribution")
		}
	}
	if a := x.Abort; a != nil {
		f.AbortPercent = v.faultPercent(a.Percentage, 0, path+".abort")
		switch e := a.ErrorType.(type) {
		case *networking.HTTPFaultInjection_Abort_HttpStatus:
			if e.HttpStatus < 200 || e.HttpStatus > 599 {
				v.Invalid(path+".abort.httpStatus", "%d is not a status from 200 to 599", e.HttpStatus)
			}
			f.AbortStatus = uint32(max(0, e.HttpStatus))
		case *networking.HTTPFaultInjection_Abort_GrpcStatus:
			if !grpcCodes[e.GrpcStatus] {
				v.Invalid(path+".abort.grpcStatus", "%q is not a gRPC status such as UNAVAILABLE", e.GrpcStatus)
			}
			f.AbortGRPC = e.GrpcStatus
		case nil:
			v.Invalid(path+".abort", "httpStatus or grpcStatus is missing")
		default: // as with exponentialDelay
			v.Add(mesh.CodeInvalid, path+".abort.http2Error", "write httpStatus or grpcStatus", "no proxy can abort requests with an error of HTTP/2")
		}
	}
	return f
}

// faultPercent follows Istio: without a percentage nothing is injected, and the user is told so.
func (v *visit) faultPercent(p *networking.Percent, deprecated int32, path string) uint32 {
	if p != nil {
		return v.percent(p, path+".percentage")
	}
	if deprecated < 0 || deprecated > 100 {
		v.Invalid(path+".percent", "%d is not a percentage from 0 to 100", deprecated)
		return 0
	}
	if deprecated == 0 {
		v.Add(mesh.CodeNotEnforced, path, "set percentage.value", "without a percentage no request is affected")
	}
	return uint32(deprecated) * 10_000
}

// grpcCodes are the names of google.golang.org/grpc/codes.
var grpcCodes = map[string]bool{
	"OK": true, "CANCELLED": true, "UNKNOWN": true, "INVALID_ARGUMENT": true, "DEADLINE_EXCEEDED": true, "NOT_FOUND": true, "ALREADY_EXISTS": true,
	"PERMISSION_DENIED": true, "RESOURCE_EXHAUSTED": true, "FAILED_PRECONDITION": true, "ABORTED": true, "OUT_OF_RANGE": true, "UNIMPLEMENTED": true,
	"INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true, "UNAUTHENTICATED": true,
}

func (v *visit) headers(x *networking.Headers, path string) mesh.HeaderEdits {
	if x == nil {
		return mesh.HeaderEdits{}
	}
	return mesh.HeaderEdits{Request: v.headerEdit(x.Request, path+".request"), Response: v.headerEdit(x.Response, path+".response")}
}

func (v *visit) headerEdit(x *networking.Headers_HeaderOperations, path string) mesh.HeaderEdit {
	if x == nil {
		return mesh.HeaderEdit{}
	}
	e := mesh.HeaderEdit{Set: v.headerList(x.Set, path+".set"), Add: v.headerList(x.Add, path+".add")}
	for i, name := range x.Remove {
		lower := strings.ToLower(name)
		if !headerName(name) || lower == "host" {
			v.Invalid(at(path+".remove", i), "header %q cannot be removed", name)
		}
		e.Remove = append(e.Remove, lower)
	}
	return e
}

func (v *visit) headerList(m map[string]string, path string) []mesh.Header {
	byName := map[string]mesh.Header{}
	for _, name := range sorted(m) {
		lower := strings.ToLower(name)
		if !headerName(name) && lower != ":authority" || !headerValue(m[name]) {
			v.Invalid(keyed(path, name), "%q with this value cannot be sent as a header", name)
			continue
		}
		if _, twice := byName[lower]; twice {
			v.Invalid(keyed(path, name), "header %s is given twice", lower)
		}
		byName[lower] = mesh.Header{Name: lower, Value: m[name]}
	}
	var out []mesh.Header
	for _, name := range sorted(byName) {
		out = append(out, byName[name])
	}
	return out
}

// authorityEdit gives the name by which an edit changes the request's authority, "" when it does not.
func authorityEdit(e mesh.HeaderEdit) string {
	for _, list := range [][]mesh.Header{e.Set, e.Add} {
		for _, h := range list {
			if h.Name == "host" || h.Name == ":authority" {
				return h.Name
			}
		}
	}
	return ""
}

// authorityHeader turns headers.request.set of Host into a rewrite of the authority, which is what it means.
func (v *visit) authorityHeader(r *mesh.HTTPRule, path string) {
	if authorityEdit(mesh.HeaderEdit{Add: r.Headers.Request.Add}) != "" {
		v.Add(mesh.CodeInvalid, path+".headers.request.add", "use rewrite.authority", "a request has one host, so another cannot be added")
		return
	}
	kept := r.Headers.Request.Set[:0:0]
	for _, h := range r.Headers.Request.Set {
		if h.Name != "host" && h.Name != ":authority" {
			kept = append(kept, h)
			continue
		}
		if r.Rewrite == nil {
			r.Rewrite = &mesh.Rewrite{}
		}
		if r.Rewrite.Authority != "" && r.Rewrite.Authority != h.Value {
			v.Invalid(path+".headers.request.set", "host is set to %s here and to %s by rewrite.authority", h.Value, r.Rewrite.Authority)
		}
		r.Rewrite.Authority = h.Value
	}
	r.Headers.Request.Set = kept
}
