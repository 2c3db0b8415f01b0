package filter

import (
	"regexp"
	"testing"
)

func TestOtherFields(t *testing.T) {
	re := regexp.MustCompile("^(?:" + others(ownFields) + ")$")
	for name, want := range map[string]bool{
		"x-user": true, "x": true, "x-env": true, "hosts": true, "hos": true, "conten": true, "content": true, "contents": true, "tea": true, "t": true, "date-x": true, "authorization": true, "proxy-x": true,
		"host": false, "content-": false, "content-length": false, "content-type": false, "te": false, "date": false, "connection": false, "transfer-encoding": false, "upgrade": false, "trailer": false,
		"x-envoy-internal": false, ":status": false, ":authority": false, "keep-alive": false, "proxy-connection": false, "server": false, "expect": false,
	} {
		if got := re.MatchString(name); got != want {
			t.Errorf("%s is copied: %v, want %v", name, got, want)
		}
	}
}
