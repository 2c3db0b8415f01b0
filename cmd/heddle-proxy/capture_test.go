package main

import (
	"strings"
	"testing"
)

func parseCapture(args ...string) (out string, err error) {
	var b strings.Builder
	cmd := captureCommand()
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetArgs(append(args, "--dry-run"))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.Execute()
	return b.String(), err
}

func TestCaptureTakesTheFlagsOfIstio(t *testing.T) {
	out, err := parseCapture("-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--redirect-dns")
	if err != nil || !strings.Contains(out, "out udp port 53: to 15053") || !strings.HasSuffix(out, "in tcp: to 15006 (inbound)\n") {
		t.Errorf("%s%v", out, err)
	}
	if out, err = parseCapture("-m", "TPROXY", "-g", "1337"); err != nil || !strings.Contains(out, "out gid 1337: left alone") || strings.Contains(out, "uid") || !strings.Contains(out, "in tcp: to 15006 as it is (inbound)\n") {
		t.Errorf("%s%v", out, err)
	}
	if out, err = parseCapture("-i", "", "-b", ""); err != nil || strings.Contains(out, ": to ") {
		t.Errorf("nothing is to be captured: %s%v", out, err)
	}
	for _, x := range [][]string{{"-m", "BOTH"}, {"-k", "eth1"}, {"-u", "0"}, {"-p", "0"}, {"-i", "10.0.0.0"}, {"-x", "*"}, {"-o", "http"}, {"-b", "80,*"}} {
		if out, err := parseCapture(x...); err == nil || !strings.Contains(err.Error(), x[0]) {
			t.Errorf("%v: %s%v", x, out, err)
		}
	}
}
