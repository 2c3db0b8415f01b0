package orca

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// fieldsWith has one field.
func fieldsWith(name, value string) *codec.Fields {
	f := &codec.Fields{}
	f.AddString(codec.MakeName(name), value)
	return f
}

func TestWeights(t *testing.T) {
	c := &config.LoadWeights{Penalty: 1, Metrics: []string{"utilization.disk"}}
	for text, want := range map[string]uint32{
		"TEXT cpu_utilization=0.5,rps_fractional=100": 200, "TEXT cpu_utilization=0.5 , rps_fractional=100, eps=50": 100, "TEXT cpu_utilization=0.5,application_utilization=0.25,rps_fractional=100": 400,
		"TEXT application_utilization=0.5,utilization.disk=0.1,rps_fractional=10": 100, "TEXT rps_fractional=10": 0, "TEXT cpu_utilization=0.5": 0, "TEXT cpu_utilization=5,rps_fractional=1": 0,
		`JSON {"cpu_utilization": 0.5, "rps_fractional": 100}`: 200,
	} {
		r, err := Read(fieldsWith("endpoint-load-metrics", text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, _ := Weight(r, c); got != want {
			t.Errorf("%s: weight %d, want %d", text, got, want)
		}
	}
}

func TestBrokenReports(t *testing.T) {
	for value, want := range map[string]string{
		"XML <a/>": "unknown", "TEXT cpu=1": "unknown", "TEXT cpu_utilization=much": "not a number", "TEXT cpu_utilization=NaN": "not a number", "JSON {": "endpoint-load-metrics", "BIN !": "illegal base64", "": "unknown",
	} {
		if r, err := Read(fieldsWith("endpoint-load-metrics", value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", value, r, err)
		}
	}
	if r, err := Read(&codec.Fields{}); r != nil || err != nil {
		t.Errorf("nothing: %v, %v", r, err)
	}
}

// FuzzRead: whatever an endpoint says, nothing breaks, and a weight is one that endpoints can have.
func FuzzRead(f *testing.F) {
	for _, v := range []string{"TEXT cpu_utilization=0.5,rps_fractional=100", `JSON {"cpu_utilization": 0.5}`, "BIN CQAAAAAAAOA/", "TEXT utilization.=1", "JSON null"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"endpoint-load-metrics", "endpoint-load-metrics-bin"} {
			if r, err := Read(fieldsWith(name, value)); err == nil && r != nil {
				if w, err := Weight(r, &config.LoadWeights{Penalty: 1, Metrics: []string{"mem_utilization", "named_metrics.a"}}); err == nil && w == 0 {
					t.Errorf("%q weighs nothing", value)
				}
			}
		}
	})
}
