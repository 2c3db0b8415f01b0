package main

import (
	"net/netip"
	"slices"
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
	f := captureFlags{outbound: 1, inbound: 2, uid: "1337,1338", mode: "REDIRECT", includeRanges: "10.0.0.0/8, fd00::/8", includeIn: "80", excludeRanges: "10.1.0.0/16", excludeOut: "25", interfaces: "a,b"}
	s, err := f.spec()
	if err != nil || !s.OnlyOutbound || !s.OnlyInbound || len(s.IncludeOutbound) != 2 || s.ExcludeOutbound[0] != netip.MustParsePrefix("10.1.0.0/16") || !slices.Equal(s.IncludeInboundPorts, []uint16{80}) ||
		!slices.Equal(s.UIDs, []uint32{1337, 1338}) || s.OutboundPort != 1 || s.InboundPort != 2 || len(s.ExcludeInterfaces) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	out, err := parseCapture("-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--redirect-dns")
	if err != nil || !strings.Contains(out, "out udp port 53: to 15053") || !strings.HasSuffix(out, "in tcp: to 15006 (inbound)\n") {
		t.Errorf("%s%v", out, err)
	}
	if out, err = parseCapture("-i", "", "-b", ""); err != nil || strings.Contains(out, ": to ") {
		t.Errorf("nothing is to be captured: %s%v", out, err)
	}
	for _, x := range [][]string{{"-m", "TPROXY"}, {"-k", "eth1"}, {"-u", "0"}, {"-p", "0"}, {"-i", "10.0.0.0"}, {"-x", "*"}, {"-o", "http"}, {"-b", "80,*"}} {
		if out, err := parseCapture(x...); err == nil || !strings.Contains(err.Error(), x[0]) {
			t.Errorf("%v: %s%v", x, out, err)
		}
	}
}
