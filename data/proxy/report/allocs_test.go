//go:build !race

package report

import "testing"

func TestAReportDoesNotAllocate(t *testing.T) {
	r, _ := reporter()
	f := Facts{Code: 200, Cluster: "outbound|80||reviews.shop.svc.cluster.local", Endpoint: "reviews-v1;shop;reviews;v1;Kubernetes"}
	r.Request(0, &f, 0, 0, 0)
	if n := testing.AllocsPerRun(100, func() { r.Request(0, &f, 5, 100, 1000) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
