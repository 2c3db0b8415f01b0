package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// captureFlags are the flags of istio-iptables, as text.
type captureFlags struct {
	outbound, inbound                                                  int
	uid, mode                                                          string
	includeRanges, excludeRanges                                       string
	includeOut, excludeOut, includeIn, excludeIn, interfaces, virtuals string
	dns, clean, dryRun                                                 bool
}

func captureCommand() *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use: "capture", Short: "Lead the traffic of this network namespace to the proxy (nftables; needs NET_ADMIN), and end", Args: cobra.NoArgs,
		Long: `capture writes the packet filter rules of a pod and ends. Its flags are those of istio-iptables. It replaces what an earlier run wrote, in one transaction,
and touches no other table.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.clean {
				return capture.Remove()
			}
			spec, err := f.spec()
			if err != nil {
				return err
			}
			rules := capture.Rules(spec)
			for _, r := range rules {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), r)
			}
			if f.dryRun {
				return nil
			}
			return capture.Apply(rules)
		},
	}
	s := cmd.Flags()
	s.IntVarP(&f.outbound, "envoy-port", "p", capture.OutboundPort, "port of the proxy for what the pod sends")
	s.IntVarP(&f.inbound, "inbound-capture-port", "z", capture.InboundPort, "port of the proxy for what arrives")
	s.StringVarP(&f.uid, "proxy-uid", "u", strconv.Itoa(capture.ProxyUID), "users whose traffic is left alone: the proxy's")
	s.StringVarP(&f.mode, "istio-inbound-interception-mode", "m", "REDIRECT", "REDIRECT")
	s.StringVarP(&f.includeRanges, "istio-service-cidr", "i", "*", "ranges whose traffic is captured on its way out; * for all")
	s.StringVarP(&f.excludeRanges, "istio-service-exclude-cidr", "x", "", "ranges that are left alone")
	s.StringVarP(&f.includeOut, "istio-outbound-ports", "q", "", "ports that are captured on their way out, whatever the range")
	s.StringVarP(&f.excludeOut, "istio-local-outbound-ports-exclude", "o", "", "ports that are left alone on their way out")
	s.StringVarP(&f.includeIn, "istio-inbound-ports", "b", "*", "ports that are captured when traffic arrives; * for all, empty for none")
	s.StringVarP(&f.excludeIn, "istio-local-exclude-ports", "d", "", "ports that are left alone when traffic arrives")
	s.StringVarP(&f.interfaces, "istio-exclude-interfaces", "c", "", "network interfaces that are left alone")
	s.StringVarP(&f.virtuals, "kube-virt-interfaces", "k", "", "interfaces of virtual machines: not supported yet")
	s.BoolVar(&f.dns, "redirect-dns", false, "questions for names go to the proxy")
	s.BoolVar(&f.clean, "clean", false, "remove the rules")
	s.BoolVar(&f.dryRun, "dry-run", false, "print the rules only")
	return cmd
}

func (f *captureFlags) spec() (s capture.Spec, err error) {
	if f.mode != "REDIRECT" {
		return s, fmt.Errorf("-m %s is not supported yet; use REDIRECT", f.mode)
	}
	if f.virtuals != "" {
		return s, fmt.Errorf("-k is not supported yet: interfaces of virtual machines are not captured; leave it out")
	}
	s.DNS = f.dns
	for _, p := range []struct {
		flag string
		n    int
		into *uint16
	}{{"-p", f.outbound, &s.OutboundPort}, {"-z", f.inbound, &s.InboundPort}} {
		if p.n < 1 || p.n > 65535 {
			return s, fmt.Errorf("%s %d is not a port", p.flag, p.n)
		}
		*p.into = uint16(p.n)
	}
	uids, err := items("-u", f.uid, func(text string) (uint32, error) {
		n, err := strconv.ParseUint(text, 10, 32)
		if err == nil && n == 0 {
			err = errors.New("the proxy must not be root, or nothing that root sends would be captured")
		}
		return uint32(n), err
	})
	if err != nil {
		return s, err
	}
	s.UIDs = uids
	for _, l := range []struct {
		flag, text string
		into       *[]uint16
	}{{"-q", f.includeOut, &s.IncludeOutboundPorts}, {"-o", f.excludeOut, &s.ExcludeOutboundPorts}, {"-d", f.excludeIn, &s.ExcludeInboundPorts}} {
		if *l.into, err = items(l.flag, l.text, port); err != nil {
			return s, err
		}
	}
	if s.ExcludeOutbound, err = items("-x", f.excludeRanges, netip.ParsePrefix); err != nil {
		return s, err
	}
	if f.includeRanges != "*" {
		s.OnlyOutbound = true
		if s.IncludeOutbound, err = items("-i", f.includeRanges, netip.ParsePrefix); err != nil {
			return s, err
		}
	}
	if f.includeIn != "*" {
		s.OnlyInbound = true
		if s.IncludeInboundPorts, err = items("-b", f.includeIn, port); err != nil {
			return s, err
		}
	}
	s.ExcludeInterfaces, err = items("-c", f.interfaces, func(text string) (string, error) { return text, nil })
	return s, err
}

func port(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err
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
