package filter

import (
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// Million is a share in units of 1/10,000 percent.
func Million(n uint32) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: n, Denominator: typev3.FractionalPercent_MILLION}
}

// Abort is the per-route configuration that ends every request with a status.
func Abort(status uint32) map[string]*anypb.Any {
	return map[string]*anypb.Any{faultName: message.Any(&faultv3.HTTPFault{Abort: &faultv3.FaultAbort{
		Percentage: Million(1_000_000), ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: status},
	}})}
}

// faultOverride is the per-route configuration of the fault filter; nil when nothing is injected.
func faultOverride(f *mesh.Fault) *faultv3.HTTPFault {
	if f == nil {
		return nil
	}
	out := &faultv3.HTTPFault{}
	if f.DelayPercent > 0 && f.Delay > 0 {
		out.Delay = &commonfaultv3.FaultDelay{
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: message.Duration(f.Delay)}, Percentage: Million(f.DelayPercent),
		}
	}
	if f.AbortPercent > 0 {
		out.Abort = &faultv3.FaultAbort{Percentage: Million(f.AbortPercent)}
		if f.AbortGRPC != "" {
			out.Abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: grpcStatus(f.AbortGRPC)}
		} else {
			out.Abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: f.AbortStatus}
		}
	}
	if out.Delay == nil && out.Abort == nil {
		return nil
	}
	return out
}

// grpcStatus reads a status by name (UNAVAILABLE); a name that is none counts as UNKNOWN.
func grpcStatus(name string) uint32 {
	c := codes.Unknown
	if err := c.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		c = codes.Unknown
	}
	return uint32(c)
}
