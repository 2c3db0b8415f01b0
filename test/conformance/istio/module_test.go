package istio_test

import (
	"encoding/json"
	"os/exec"
	"sync"
	"testing"
)

// source is where the module istio.io/istio is.
var source = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", "istio.io/istio")
	cmd.Dir = "../gateway"
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	err = json.Unmarshal(out, &module)
	return module.Dir, err
})

func istio(t *testing.T) string {
	t.Helper()
	dir, err := source()
	if err != nil {
		t.Skip("the module istio.io/istio is not to be had: ", err)
	}
	return dir
}
