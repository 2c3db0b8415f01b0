package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Arguments are those of istio-iptables, as text.
type Arguments struct {
	outbound, inbound                                                  int
	uid, gid, mode                                                     string
	includeRanges, excludeRanges                                       string
	includeOut, excludeOut, includeIn, excludeIn, interfaces, virtuals string
	dns, datagrams                                                     bool
}

// Add declares the flags.
func (a *Arguments) Add(s *pflag.FlagSet) {
	s.IntVarP(&a.outbound, "envoy-port", "p", OutboundPort, "port of the proxy for what the pod sends")
	s.IntVarP(&a.inbound, "inbound-capture-port", "z", InboundPort, "port of the proxy for what arrives")
	s.StringVarP(&a.uid, "proxy-uid", "u", "", "users whose traffic is left alone: the proxy's (default, unless there are groups: "+strconv.Itoa(ProxyUID)+")")
	s.StringVarP(&a.gid, "proxy-gid", "g", "", "groups whose traffic is left alone: the proxy's")
	s.StringVarP(&a.mode, "istio-inbound-interception-mode", "m", "REDIRECT", "REDIRECT, or TPROXY: the application sees the addresses of its clients")
	s.StringVarP(&a.includeRanges, "istio-service-cidr", "i", "*", "ranges whose traffic is captured on its way out; * for all")
	s.StringVarP(&a.excludeRanges, "istio-service-exclude-cidr", "x", "", "ranges that are left alone")
	s.StringVarP(&a.includeOut, "istio-outbound-ports", "q", "", "ports that are captured on their way out, whatever the range")
	s.StringVarP(&a.excludeOut, "istio-local-outbound-ports-exclude", "o", "", "ports that are left alone on their way out")
	s.StringVarP(&a.includeIn, "istio-inbound-ports", "b", "*", "ports that are captured when traffic arrives; * for all, empty for none")
	s.StringVarP(&a.excludeIn, "istio-local-exclude-ports", "d", "", "ports that are left alone when traffic arrives")
	s.StringVarP(&a.interfaces, "istio-exclude-interfaces", "c", "", "network interfaces that are left alone")
	s.StringVarP(&a.virtuals, "kube-virt-interfaces", "k", "", "interfaces of virtual machines: not supported yet")
	s.BoolVar(&a.dns, "redirect-dns", false, "questions for names go to the proxy")
	s.BoolVar(&a.datagrams, "redirect-udp", false, "datagrams to services go to the proxy, if it runs with --capture-udp")
}

// Parse reads arguments as they stand on a command line.
func Parse(args []string) (Spec, error) {
	var a Arguments
	s := pflag.NewFlagSet("capture", pflag.ContinueOnError)
	s.Usage = func() {}
	a.Add(s)
	if err := s.Parse(args); err != nil {
		return Spec{}, err
	}
	if s.NArg() > 0 {
		return Spec{}, fmt.Errorf("%q is no flag", s.Arg(0))
	}
	return a.Spec()
}

// Spec is what the arguments say. Its error names the flag.
func (a *Arguments) Spec() (s Spec, err error) {
	if a.mode != "REDIRECT" && a.mode != "TPROXY" {
		return s, fmt.Errorf("-m %q is not one of REDIRECT and TPROXY", a.mode)
	}
	if a.virtuals != "" {
		return s, errors.New("-k is not supported yet: interfaces of virtual machines are not captured; leave it out")
	}
	s.DNS, s.Datagrams, s.Transparent = a.dns, a.datagrams, a.mode == "TPROXY"
	for _, p := range []struct {
		flag string
		n    int
		into *uint16
	}{{"-p", a.outbound, &s.OutboundPort}, {"-z", a.inbound, &s.InboundPort}} {
		if p.n < 1 || p.n > 65535 {
			return s, fmt.Errorf("%s %d is not a port", p.flag, p.n)
		}
		*p.into = uint16(p.n)
	}
	if s.UIDs, err = items("-u", a.uid, owner); err != nil {
		return s, err
	}
	if s.GIDs, err = items("-g", a.gid, owner); err != nil {
		return s, err
	}
	for _, l := range []struct {
		flag, text string
		into       *[]uint16
	}{{"-q", a.includeOut, &s.IncludeOutboundPorts}, {"-o", a.excludeOut, &s.ExcludeOutboundPorts}, {"-d", a.excludeIn, &s.ExcludeInboundPorts}} {
		if *l.into, err = items(l.flag, l.text, port); err != nil {
			return s, err
		}
	}
	if s.ExcludeOutbound, err = items("-x", a.excludeRanges, netip.ParsePrefix); err != nil {
		return s, err
	}
	if a.includeRanges != "*" {
		s.OnlyOutbound = true
		if s.IncludeOutbound, err = items("-i", a.includeRanges, netip.ParsePrefix); err != nil {
			return s, err
		}
	}
	if a.includeIn != "*" {
		s.OnlyInbound = true
		if s.IncludeInboundPorts, err = items("-b", a.includeIn, port); err != nil {
			return s, err
		}
	}
	s.ExcludeInterfaces, err = items("-c", a.interfaces, device)
	return s, err
}

func owner(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n == 0 {
		err = errors.New("the proxy must not be root's, or nothing that root sends would be captured")
	}
	return uint32(n), err
}

func port(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n == 0 {
		err = errors.New("0 is not a port")
	}
	return uint16(n), err
}

// device checks a name as the kernel does; a plus sign at the end would be a pattern to iptables.
func device(text string) (string, error) {
	if len(text) > 15 || strings.ContainsAny(text, "/+ \t\n") {
		return "", errors.New("that is not the name of a network interface")
	}
	return text, nil
}

// items reads a list with commas.
func items[T any](flag, text string, read func(string) (T, error)) (out []T, err error) {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		v, err := read(one)
		if err != nil {
			return nil, fmt.Errorf("%s: %q cannot be read: %w", flag, one, err)
		}
		out = append(out, v)
	}
	return out, nil
}
