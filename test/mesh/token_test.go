package mesh_test

import (
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/mesh"
)

// A machine whose token is gone proves who it is by the certificate that it got with it: for new certificates, and for new streams.
func TestCertificateInPlaceOfToken(t *testing.T) {
	m := mesh.Start(t)
	w := m.Remote("far", 20*time.Second)
	w.Forget()
	before := w.Certificate()
	if before == "" {
		t.Fatal("the workload has no certificate")
	}
	m.Until("it has another certificate", func() bool { now := w.Certificate(); return now != "" && now != before })
	w.Disconnect()
	m.Service("web", nil) // waits until every proxy knows it
	if r := m.From("far").Get("http://web/"); r.Status != 200 {
		t.Error(r.Status, r.Body)
	}
}
