package accept

import (
	"bytes"
	gotls "crypto/tls"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// noSecrets resolves nothing.
type noSecrets struct{}

func (noSecrets) Certificates(config.SecretRef) *tls.Source[tls.Certificates] { return nil }
func (noSecrets) Trust(config.SecretRef) *tls.Source[tls.Trust]               { return nil }

// served is what became of a connection.
type served struct {
	listener, chain string
	refused         []Refusal
	rec             sim.Recorder
}

func (s *served) hooks(deny bool) Hooks {
	return Hooks{
		Allow: func(*config.Listener, *config.Chain, *loop.Origin) bool { return !deny },
		Serve: func(c loop.Conn, l *config.Listener, chain *config.Chain) {
			s.listener, s.chain = l.Name, chain.Name
			c.SetHandler(&s.rec)
		},
		Refused: func(_ *config.Listener, _ *loop.Origin, why Refusal) { s.refused = append(s.refused, why) },
	}
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func chain(name string, m config.ChainMatch) *config.Chain {
	return &config.Chain{Name: name, Match: m}
}

// sidecar is an outbound pair: the capturing listener, and one that is reached only by the original destination.
func sidecar() []*config.Listener {
	return []*config.Listener{
		{Name: "virtualOutbound", Address: ap("0.0.0.0:15001"), Bind: true, UseOriginalDst: true, Default: chain("passthrough", config.ChainMatch{})},
		{Name: "http", Address: ap("0.0.0.0:80"), Inspect: config.Inspect{HTTP: true, TLS: true, Timeout: 5 * time.Second, ContinueOnTimeout: true}, Chains: []*config.Chain{
			chain("h1", config.ChainMatch{ApplicationProtocols: []string{"http/1.1"}}),
			chain("sni", config.ChainMatch{TransportProtocol: "tls", ServerNames: []string{"a.example"}}),
		}, Default: chain("raw", config.ChainMatch{})},
		{Name: "exact", Address: ap("10.96.0.7:3306"), Default: chain("mysql", config.ChainMatch{})},
		{Name: "strict", Address: ap("0.0.0.0:81"), Inspect: config.Inspect{HTTP: true, Timeout: time.Second}, Default: chain("never", config.ChainMatch{})},
		{Name: "nochain", Address: ap("0.0.0.0:82"), Chains: []*config.Chain{chain("other port", config.ChainMatch{DestinationPort: 1})}},
	}
}

func helloBytes(t *testing.T, name string) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() { _ = gotls.Client(a, &gotls.Config{ServerName: name}).Handshake() }()
	defer a.Close()
	buf := make([]byte, 4096)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestTheWayOfAConnection(t *testing.T) {
	hello := helloBytes(t, "a.example")
	cases := []struct {
		name            string
		to              string
		send            []byte
		end             bool
		listener, chain string
		refused         []Refusal
		after           time.Duration // at least
	}{
		{name: "http by port", to: "10.96.0.1:80", send: []byte("GET / HTTP/1.1\r\n\r\n"), listener: "http", chain: "h1"},
		{name: "tls by name", to: "10.96.0.1:80", send: hello, listener: "http", chain: "sni"},
		{name: "something else", to: "10.96.0.1:80", send: []byte("\x00\x01\x02 binary"), listener: "http", chain: "raw"},
		{name: "server speaks first", to: "10.96.0.1:80", listener: "http", chain: "raw", after: 5 * time.Second},
		{name: "exact address", to: "10.96.0.7:3306", listener: "exact", chain: "mysql"},
		{name: "nobody's address", to: "93.184.216.34:443", send: hello, listener: "virtualOutbound", chain: "passthrough"},
		{name: "timeout closes", to: "10.96.0.1:81", send: []byte("GE"), refused: []Refusal{InspectTime}, after: time.Second},
		{name: "no chain", to: "10.96.0.1:82", refused: []Refusal{NoChain}},
		{name: "end before anything", to: "10.96.0.1:80", end: true, refused: []Refusal{InspectEnd}},
		{name: "short and ended", to: "10.96.0.1:80", send: []byte("GE"), end: true, listener: "http", chain: "raw"},
	}
	for _, c := range cases {
		for seed := range uint64(20) {
			s := sim.New(seed)
			got := &served{}
			set := NewSet(SetOptions{Workers: []*loop.Worker{s.Worker()}, Secrets: noSecrets{}}, got.hooks(false))
			table, err := NewSet(SetOptions{Secrets: noSecrets{}}, Hooks{}).compile(sidecar())
			if err != nil {
				t.Fatal(err)
			}
			local := loop.TCP(ap("10.0.0.5:15001"))
			client, conn := s.PipeWith(loop.Origin{Local: local, Remote: loop.TCP(ap("10.0.0.5:40000")), Original: loop.TCP(ap(c.to)), Restored: true, Accepted: true})
			client.SetHandler(&sim.Recorder{})
			start := s.Now()
			s.At(0, func() {
				set.enter(table, table.at[loop.TCP(ap("0.0.0.0:15001"))], conn)
				client.Write(c.send)
				if c.end {
					client.CloseWrite()
				}
			})
			if !s.RunUntil(time.Minute, func() bool { return got.chain != "" || len(got.refused) > 0 }) {
				t.Fatalf("%s: seed %d: nothing became of it", c.name, seed)
			}
			if d := s.Now().Sub(start); d < c.after || d > c.after+time.Second {
				t.Errorf("%s: seed %d: decided after %v", c.name, seed, d)
			}
			s.Run(time.Second)
			if got.listener != c.listener || got.chain != c.chain || !slices.Equal(got.refused, c.refused) {
				t.Fatalf("%s: seed %d: listener %q chain %q refused %v", c.name, seed, got.listener, got.chain, got.refused)
			}
			if c.chain != "" && (!bytes.Equal(got.rec.Data, c.send) || got.rec.EOF != c.end) {
				t.Fatalf("%s: seed %d: the chain sees %q, end %v", c.name, seed, got.rec.Data, got.rec.EOF)
			}
		}
	}
}

func TestNetworkPolicyCloses(t *testing.T) {
	s := sim.New(1)
	got := &served{}
	set := NewSet(SetOptions{Workers: []*loop.Worker{s.Worker()}, Secrets: noSecrets{}}, got.hooks(true))
	ls := []*config.Listener{{Name: "l", Address: ap("0.0.0.0:80"), Bind: true, Default: &config.Chain{Name: "c", RBAC: []*config.RBAC{{}}}}}
	table, err := NewSet(SetOptions{Secrets: noSecrets{}}, Hooks{}).compile(ls)
	if err != nil {
		t.Fatal(err)
	}
	client, conn := s.Pipe()
	rec := &sim.Recorder{}
	client.SetHandler(rec)
	s.At(0, func() { set.enter(table, table.all[0], conn) })
	s.Run(time.Minute)
	if got.chain != "" || !slices.Equal(got.refused, []Refusal{Denied}) || !rec.EOF && rec.Closed == 0 {
		t.Fatalf("%+v %+v", got, rec)
	}
}

func TestOwnListenerIsRefused(t *testing.T) {
	table, err := NewSet(SetOptions{Secrets: noSecrets{}}, Hooks{}).compile(sidecar())
	if err != nil {
		t.Fatal(err)
	}
	self := table.at[loop.TCP(ap("0.0.0.0:15001"))]
	for to, want := range map[string]bool{"10.0.0.5:15001": true, "127.0.0.1:15001": true, "10.0.0.6:15001": false, "10.0.0.5:80": false} {
		o := &loop.Origin{Local: loop.TCP(ap("10.0.0.5:15001")), Original: loop.TCP(ap(to)), Restored: true}
		if table.loops(self, o) != want {
			t.Errorf("%s: want refused %v", to, want)
		}
	}
}

func TestCompileNamesWhatIsWrong(t *testing.T) {
	for want, ls := range map[string][]*config.Listener{
		"listener b: address 0.0.0.0:80 is taken by listener a; give one of them another port": {
			{Name: "a", Address: ap("0.0.0.0:80"), Bind: true}, {Name: "b", Address: ap("0.0.0.0:80"), Bind: true}},
		`listener a: filter_chains[0].transport_socket.typed_config.common_tls_context.tls_certificates[0]: no certificate "x"`: {
			{Name: "a", Address: ap("0.0.0.0:80"), Chains: []*config.Chain{{TLS: &config.ServerTLS{TLSParams: config.TLSParams{Certificates: []config.SecretRef{{Name: "x"}}}}}}}},
	} {
		if _, err := NewSet(SetOptions{Secrets: noSecrets{}}, Hooks{}).compile(ls); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
