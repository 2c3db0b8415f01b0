package loopback

import "testing"

func TestIs(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9": true, "[::1]:80": true, "[::1]": true, "::1": true, "localhost:15010": true, "LocalHost": true, "[::ffff:127.0.0.1]:1": true,
		"": false, ":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "localhost.example.com": false, "127.0.0.1.example.com:80": false, "127.0.0.1:80:80": false,
	} {
		if Is(address) != want {
			t.Errorf("%q is one: %v", address, !want)
		}
	}
}
