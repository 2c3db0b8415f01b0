// Package orca reads what endpoints tell of their load in the heads and trailers of their responses (Open Request Cost Aggregation, xds.data.orca.v3).
//
// In: the values of the header endpoint-load-metrics or endpoint-load-metrics-bin. Out: a Report, and the weight that follows from it.
package orca

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	orcav3 "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

var (
	metrics = codec.MakeName("endpoint-load-metrics")
	binary  = codec.MakeName("endpoint-load-metrics-bin")
)

// Report is what an endpoint tells.
type Report = orcav3.OrcaLoadReport

// Read finds a report among fields; nil without an error: there is none.
func Read(f *codec.Fields) (*Report, error) {
	if v, ok := f.Value(binary); ok {
		return decode(string(v))
	}
	v, ok := f.Value(metrics)
	if !ok {
		return nil, nil
	}
	form, text, _ := strings.Cut(string(v), " ")
	switch form {
	case "BIN":
		return decode(text)
	case "JSON":
		r := &Report{}
		if err := protojson.Unmarshal([]byte(text), r); err != nil {
			return nil, fmt.Errorf("endpoint-load-metrics: %w", err)
		}
		return r, nil
	case "TEXT":
		return parse(text)
	}
	return nil, fmt.Errorf("endpoint-load-metrics: the form %q is unknown", form)
}

func decode(text string) (*Report, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		if b, err = base64.RawStdEncoding.DecodeString(text); err != nil { // gRPC leaves the padding out
			return nil, fmt.Errorf("endpoint-load-metrics-bin: %w", err)
		}
	}
	r := &Report{}
	if err := proto.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("endpoint-load-metrics-bin: %w", err)
	}
	return r, nil
}

// parse reads name=value pairs with commas in between.
func parse(text string) (*Report, error) {
	r := &Report{Utilization: map[string]float64{}, NamedMetrics: map[string]float64{}, RequestCost: map[string]float64{}}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, fmt.Errorf("endpoint-load-metrics: %q is not a number", pair)
		}
		name = strings.TrimSpace(name)
		kind, key, _ := strings.Cut(name, ".")
		switch {
		case name == "cpu_utilization":
			r.CpuUtilization = n
		case name == "mem_utilization":
			r.MemUtilization = n
		case name == "application_utilization":
			r.ApplicationUtilization = n
		case name == "rps_fractional":
			r.RpsFractional = n
		case name == "eps":
			r.Eps = n
		case kind == "utilization" && key != "":
			r.Utilization[key] = n
		case kind == "named_metrics" && key != "":
			r.NamedMetrics[key] = n
		case kind == "request_cost" && key != "":
			r.RequestCost[key] = n
		default:
			return nil, fmt.Errorf("endpoint-load-metrics: %q is unknown", name)
		}
	}
	return r, nil
}

var errIdle = errors.New("a report needs a utilization and requests per second")

// Weight is how much an endpoint can take: its requests per second for its utilization, to which errors add (gRFC A58).
func Weight(r *Report, c *config.LoadWeights) (uint32, error) {
	used := utilization(r, c.Metrics)
	if !(used > 0) || !(r.GetRpsFractional() > 0) {
		return 0, errIdle
	}
	if r.GetEps() > 0 && c.Penalty > 0 {
		used += r.GetEps() / r.GetRpsFractional() * c.Penalty
	}
	w := r.GetRpsFractional() / used
	if w < 1 {
		return 0, errIdle
	}
	return uint32(min(w, math.MaxUint32)), nil
}

// utilization is the highest of the named metrics, else the application's, else the processor's.
func utilization(r *Report, names []string) (most float64) {
	for _, name := range names {
		kind, key, _ := strings.Cut(name, ".")
		v := 0.0
		switch {
		case name == "mem_utilization":
			v = r.GetMemUtilization()
		case name == "cpu_utilization":
			v = r.GetCpuUtilization()
		case kind == "named_metrics":
			v = r.GetNamedMetrics()[key]
		case kind == "utilization":
			v = r.GetUtilization()[key]
		}
		most = max(most, v)
	}
	switch {
	case most > 0:
		return most
	case r.GetApplicationUtilization() > 0:
		return r.GetApplicationUtilization()
	}
	return r.GetCpuUtilization()
}
