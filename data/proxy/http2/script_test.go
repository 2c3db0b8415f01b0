package http2

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

var update = flag.Bool("update", false, "write what scripts give into them")

// TestScripts runs the conversations in testdata. A line that is not indented is something that happens; the indented lines below are what follows from it: frames that the
// Conn sends, calls that its user hears. Other lines are prose.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, string(b))
			switch {
			case *update:
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			case got != string(b):
				t.Errorf("got\n%s\nrun with -update to take it over", firstDifference(got, string(b)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d: %s\n  in the file: %s", i+1, strings.Join(g[i:min(i+4, len(g))], "\n         "), strings.Join(w[min(i, len(w)):min(i+4, len(w))], "\n         "))
		}
	}
	return "the file has more lines"
}

// play is a Conn with a scripted peer and user.
type play struct {
	t       *testing.T
	conn    *Conn
	slab    Slab
	out     bytes.Buffer // what the Conn wrote
	stuck   int          // bytes that the Output pretends to hold
	framer  *http2.Framer
	headers *hpack.Decoder // of what the Conn sends
	encoder *hpack.Encoder // of what the peer sends
	block   bytes.Buffer
	said    strings.Builder
	streams []*Stream
	names   map[*Stream]string
	answer  bool
	deaf    bool // nobody hears of the rest of a request
	asked   bool
}

func run(t *testing.T, script string) string {
	p := &play{t: t, names: map[*Stream]string{}}
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "server", "client":
			p.start(word, rest)
		case "peer":
			p.peer(rest)
		case "user":
			p.user(rest)
		case "output":
			_, _ = fmt.Sscan(rest, &p.stuck)
			p.conn.Writable()
		default:
			continue
		}
		if p.asked { // the end of the turn
			p.asked = false
			p.conn.Attend()
		}
		p.frames()
		for said := range strings.Lines(p.said.String()) {
			out.WriteString("  " + said)
		}
		p.said.Reset()
	}
	return out.String()
}

func (p *play) start(role, options string) {
	l := Defaults()
	l.StreamWindow, l.ConnWindow = 65535, 65535
	ready := false
	p.answer, p.deaf = false, false
	for _, o := range strings.Fields(options) {
		name, v, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(v)
		switch name {
		case "streams":
			l.Streams = uint32(n)
		case "window":
			l.StreamWindow = uint32(n)
		case "connwindow":
			l.ConnWindow = uint32(n)
		case "connect":
			l.Connect = true
		case "head":
			l.HeadBytes = n
		case "fields":
			l.Fields = n
		case "table":
			l.TableSize = uint32(n)
		case "queue":
			l.StreamQueue = n
		case "resets":
			l.PrematureResets = n
		case "control":
			l.ControlFrames = n
		case "frames":
			l.OutputFrames = n
		case "priorities":
			l.PriorityFrames = n
		case "windows":
			l.WindowUpdates = n
		case "answer":
			p.answer = true
		case "deaf":
			p.deaf = true
		case "ready":
			ready = true
		default:
			p.t.Fatal("no option", name)
		}
	}
	p.out.Reset()
	p.framer = http2.NewFramer(nil, &p.out)
	p.headers = hpack.NewDecoder(4096, nil)
	p.framer.SetMaxReadFrameSize(1 << 20)
	p.restart()
	p.conn = &Conn{}
	r := Server
	if role == "client" {
		r = Client
	}
	p.streams, p.stuck = nil, 0
	p.conn.Init(r, l, p, p, &p.slab)
	if ready {
		if r == Server {
			p.peer("PREFACE")
		}
		p.peer("SETTINGS")
		p.peer("SETTINGS ack")
		p.out.Reset()
		p.said.Reset()
	}
}

// restart begins the compression of what the peer sends.
func (p *play) restart() {
	p.block.Reset()
	p.encoder = hpack.NewEncoder(&p.block)
}

// Write implements Output.
func (p *play) Write(b []byte) { p.out.Write(b) }

// Buffered implements Output.
func (p *play) Buffered() int { return p.stuck }

func (p *play) say(format string, args ...any) { fmt.Fprintf(&p.said, format+"\n", args...) }

// hear writes down what a user was told, behind the frames that were sent before.
func (p *play) hear(format string, args ...any) {
	p.frames()
	p.say("hears "+format, args...)
}

// frames writes down what the Conn sent.
func (p *play) frames() {
	if b := p.out.Bytes(); bytes.HasPrefix(b, []byte(http2.ClientPreface)) {
		p.say("sends the preface")
		p.out.Next(len(http2.ClientPreface))
	}
	for p.out.Len() > 0 {
		f, err := p.framer.ReadFrame()
		if err != nil {
			p.t.Fatalf("what was sent is no frame: %v", err)
		}
		p.say("sends %s", p.frame(f))
	}
}

func (p *play) frame(f http2.Frame) string {
	h := f.Header()
	s := fmt.Sprintf("%s %d", h.Type, h.StreamID)
	if h.StreamID == 0 {
		s = h.Type.String()
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return s + " ack"
		}
		_ = f.ForeachSetting(func(x http2.Setting) error {
			s += fmt.Sprintf(" %s=%d", strings.ToLower(x.ID.String()), x.Val)
			return nil
		})
	case *http2.HeadersFrame:
		if f.StreamEnded() {
			s += " end"
		}
		s += p.fields(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		s += p.fields(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		if f.StreamEnded() {
			s += " end"
		}
		s += " " + short(f.Data())
	case *http2.RSTStreamFrame:
		s += " " + f.ErrCode.String()
	case *http2.GoAwayFrame:
		s += fmt.Sprintf(" last=%d %s %s", f.LastStreamID, f.ErrCode, f.DebugData())
	case *http2.WindowUpdateFrame:
		s += fmt.Sprintf(" +%d", f.Increment)
	case *http2.PingFrame:
		if f.IsAck() {
			s += " ack"
		}
		s += " " + hex.EncodeToString(f.Data[:])
	}
	return strings.TrimRight(s, " ")
}

// fields decodes what the Conn sent.
func (p *play) fields(fragment []byte, last bool) (s string) {
	p.headers.SetEmitFunc(func(f hpack.HeaderField) { s += fmt.Sprintf("; %s: %s", f.Name, brief(f.Value)) })
	if _, err := p.headers.Write(fragment); err != nil {
		p.t.Fatal(err)
	}
	if !last {
		return s + " ..."
	}
	if err := p.headers.Close(); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// short is a body as text, or its length.
func short(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("*%d", len(b))
	}
	return strconv.Quote(string(b))
}

// brief is a value, or its length.
func brief(v string) string {
	if len(v) > 100 {
		return fmt.Sprintf("*%d", len(v))
	}
	return v
}

// body is what a line has at its end: a quoted text, or "*" and a length.
func body(line string) []byte {
	if _, n, ok := strings.Cut(line, "*"); ok {
		i, _ := strconv.Atoi(n)
		return bytes.Repeat([]byte("x"), i)
	}
	i := strings.IndexByte(line, '"')
	if i < 0 {
		return nil
	}
	u, err := strconv.Unquote(line[i:])
	if err != nil {
		return nil
	}
	return []byte(u)
}

// peer feeds a frame: "HEADERS 1 end; :method: GET; ..." or "DATA 1 end "text"".
func (p *play) peer(line string) {
	head, rest, _ := strings.Cut(line, "; ")
	words := strings.Fields(head)
	b := p.wire(head, words, rest)
	if slices.Contains(words, "twice") {
		b = append(b, b...)
	}
	step := len(b)
	if slices.Contains(words, "bytewise") {
		step = 1
	}
	var kept []byte
	for chunk := range slices.Chunk(b, max(step, 1)) {
		kept = append(kept, chunk...)
		n, err := p.conn.Feed(kept)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				p.t.Fatal(err)
			}
			p.hear("the end: %v", err)
			return
		}
		kept = kept[n:]
	}
	if len(kept) > 0 {
		p.say("waits for more")
	}
}

// wire makes the bytes of a frame.
func (p *play) wire(line string, words []string, fields string) []byte {
	var buf bytes.Buffer
	w := http2.NewFramer(&buf, nil)
	w.AllowIllegalWrites = true
	flag := func(name string) bool { return slices.Contains(words, name) }
	value := func(name string) int {
		for _, x := range words {
			if v, ok := strings.CutPrefix(x, name+"="); ok {
				n, _ := strconv.Atoi(v)
				return n
			}
		}
		return 0
	}
	id := uint32(0)
	if len(words) > 1 {
		n, _ := strconv.ParseUint(words[1], 10, 32)
		id = uint32(n)
	}
	last := words[len(words)-1]
	switch words[0] {
	case "PREFACE":
		buf.WriteString(http2.ClientPreface)
	case "HEADERS":
		h := http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode(fields), EndStream: flag("end"), EndHeaders: !flag("more"), PadLength: uint8(value("pad"))}
		if flag("weighed") {
			h.Priority = http2.PriorityParam{StreamDep: uint32(value("on")), Weight: 3}
		}
		_ = w.WriteHeaders(h)
	case "CONTINUATION":
		_ = w.WriteContinuation(id, !flag("more"), p.encode(fields))
	case "DATA":
		if n := value("pad"); n > 0 {
			_ = w.WriteDataPadded(id, flag("end"), body(line), make([]byte, n))
		} else {
			_ = w.WriteData(id, flag("end"), body(line))
		}
	case "SETTINGS":
		if flag("ack") {
			_ = w.WriteSettingsAck()
			break
		}
		var list []http2.Setting
		for _, x := range words[1:] {
			name, v, _ := strings.Cut(x, "=")
			n, _ := strconv.ParseUint(v, 10, 32)
			i := slices.Index([]string{"", "table", "push", "streams", "window", "frame", "list", "", "connect"}, name)
			list = append(list, http2.Setting{ID: http2.SettingID(i), Val: uint32(n)})
		}
		_ = w.WriteSettings(list...)
	case "RST_STREAM":
		_ = w.WriteRSTStream(id, http2.ErrCode(slices.Index(codeNames[:], last)))
	case "PING":
		var data [8]byte
		_, _ = hex.Decode(data[:], []byte(last))
		_ = w.WritePing(flag("ack"), data)
	case "GOAWAY":
		_ = w.WriteGoAway(id, http2.ErrCode(slices.Index(codeNames[:], last)), nil)
	case "WINDOW_UPDATE":
		n, _ := strconv.ParseUint(last, 10, 32)
		_ = w.WriteWindowUpdate(id, uint32(n))
	case "PRIORITY":
		_ = w.WritePriority(id, http2.PriorityParam{StreamDep: uint32(value("on")), Weight: 1})
	case "RAW": // RAW kind flags stream payload, all in hexadecimal but the stream
		kind, _ := hex.DecodeString(words[1])
		flags, _ := hex.DecodeString(words[2])
		n, _ := strconv.ParseUint(words[3], 10, 32)
		var payload []byte
		if len(words) > 4 {
			payload, _ = hex.DecodeString(words[4])
		}
		_ = w.WriteRawFrame(http2.FrameType(kind[0]), http2.Flags(flags[0]), uint32(n), payload)
	case "BYTES":
		buf.Write(body(line))
	default:
		p.t.Fatal("no frame", words)
	}
	return buf.Bytes()
}

// encode makes a block of "name: value; name: value"; a "^" in front of a name makes it never-indexed.
func (p *play) encode(fields string) []byte {
	p.block.Reset()
	for f := range strings.SplitSeq(fields, "; ") {
		if f == "" {
			continue
		}
		i := strings.Index(f[1:], ":") + 1
		if i == 0 {
			p.t.Fatalf("no field: %q", f)
		}
		value := strings.TrimPrefix(f[i+1:], " ")
		if u, err := strconv.Unquote(value); err == nil {
			value = u
		}
		if n, ok := strings.CutPrefix(value, "*"); ok && n != "" && n[0] <= '9' && n[0] >= '0' {
			count, _ := strconv.Atoi(n)
			value = strings.Repeat("v", count)
		}
		if f[:i] == "many" {
			count, _ := strconv.Atoi(value)
			for range count {
				_ = p.encoder.WriteField(hpack.HeaderField{Name: "x", Value: "y"})
			}
			continue
		}
		_ = p.encoder.WriteField(hpack.HeaderField{Name: f[:i], Value: value})
	}
	return slices.Clone(p.block.Bytes())
}

// user makes a call: "head 1 200 end; name: value", "body 1 end "text"", "abort 1", ...
func (p *play) user(line string) {
	head, rest, _ := strings.Cut(line, "; ")
	words := strings.Fields(head)
	last := words[len(words)-1]
	end := slices.Contains(words, "end")
	switch words[0] {
	case "asks": // asks METHOD scheme authority path
		s := p.conn.Open(nil)
		if s == nil {
			p.say("has no room")
			return
		}
		p.name(s)
		s.receiver = &listener{p, s}
		s.Head(p.request(words[1:], rest), end)
		return
	case "changes": // its mind before the head
		s := p.conn.Open(nil)
		p.name(s)
		s.Abort(codec.LocalReset, "")
		s.Head(p.request([]string{"GET", "http", "a", "/"}, ""), true)
		return
	case "shutdown":
		p.conn.Shutdown()
		return
	case "finish":
		p.conn.Finish()
		return
	case "ping":
		p.conn.Ping()
		return
	case "counts":
		p.say("%+v", p.conn.Counters())
		return
	case "closes":
		p.conn.Close(codec.ConnectionTermination, last)
		return
	case "looks":
		if len(words) > 1 {
			break
		}
		p.say("available %d, active %d, going away %t, drained %t, unanswered %d, greeted %t, upgrades %t", p.conn.Available(), p.conn.Active(), p.conn.GoingAway(), p.conn.Drained(), p.conn.Unanswered(),
			p.conn.Greeted(), p.conn.Upgrades())
		return
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n > len(p.streams) {
		p.t.Fatal(line)
	}
	s := p.streams[n-1]
	switch words[0] {
	case "head":
		s.Head(p.response(words[2], rest), end)
	case "informs":
		s.Informational(p.response(words[2], rest))
	case "body":
		s.Body(body(head), end)
	case "trailers":
		var f codec.Fields
		addAll(&f, rest)
		s.Trailers(&f)
	case "abort":
		s.Abort(codec.LocalReset, "")
	case "refuse":
		s.Abort(codec.Overflow, "")
	case "pause":
		s.Pause()
	case "resume":
		s.Resume()
	case "looks":
		p.say("stream %d: buffered %d, full %t, refused %t, code %s", s.ID(), s.queue.bytes, s.Full(), s.Refused(), s.Code())
	default:
		p.t.Fatal(line)
	}
}

func (p *play) name(s *Stream) {
	p.streams = append(p.streams, s)
	p.names[s] = strconv.Itoa(len(p.streams))
}

func addAll(f *codec.Fields, fields string) {
	for x := range strings.SplitSeq(fields, "; ") {
		if name, value, ok := strings.Cut(x, ": "); ok {
			if n, ok := strings.CutPrefix(value, "*"); ok {
				count, _ := strconv.Atoi(n)
				value = strings.Repeat("v", count)
			}
			f.AddRaw([]byte(name), []byte(value))
		}
	}
}

func (p *play) request(words []string, fields string) *codec.Head {
	h := &codec.Head{}
	h.Reset()
	h.SetMethod([]byte(words[0]))
	h.SetScheme(words[1])
	h.SetAuthorityString(strings.TrimPrefix(words[2], "-"))
	h.SetPath([]byte(words[3]))
	h.Upgrade = slices.Contains(words, "upgrade") || h.Kind == codec.CONNECT
	addAll(&h.Fields, fields)
	return h
}

func (p *play) response(status, fields string) *codec.Head {
	h := &codec.Head{}
	h.Reset()
	h.Status, _ = strconv.Atoi(status)
	h.Upgrade = h.Status == 101
	addAll(&h.Fields, fields)
	return h
}

// Request implements Owner.
func (p *play) Request(s *Stream, h *codec.Head, end bool) codec.Receiver {
	p.name(s)
	p.hear("%s request%s", p.names[s], described(h, end))
	if p.answer {
		s.Head(p.response("200", ""), true)
	}
	if p.deaf {
		return nil
	}
	return &listener{p, s}
}

// Malformed implements Owner.
func (p *play) Malformed(s *Stream, _ *codec.Head, err *Error) {
	p.name(s)
	p.hear("%s malformed: %s (%d)", p.names[s], err.Detail, err.Status)
	if p.answer {
		s.Head(p.response(strconv.Itoa(err.Status), ""), true)
	}
}

// Closed implements Owner.
func (p *play) Closed(s *Stream) { p.hear("%s closed", p.names[s]) }

// Attend implements Owner.
func (p *play) Attend() { p.asked = true }

func described(h *codec.Head, end bool) (s string) {
	if h.Status == 0 {
		s = fmt.Sprintf(" %s %s://%s %s", h.Method(), h.Scheme(), h.Authority(), h.Path())
	} else {
		s = " " + strconv.Itoa(h.Status)
	}
	if h.Length >= 0 {
		s += fmt.Sprintf(" length=%d", h.Length)
	}
	if h.Upgrade {
		s += " upgrade"
	}
	if end {
		s += " end"
	}
	return s + listed(&h.Fields)
}

func listed(f *codec.Fields) (s string) {
	for i := range f.Slots() {
		if n, v, ok := f.At(i); ok {
			s += fmt.Sprintf("; %s: %s", n, brief(string(v)))
		}
	}
	return s
}

// listener is the codec.Receiver of one stream.
type listener struct {
	p *play
	s *Stream
}

func (l *listener) hear(format string, args ...any) {
	l.p.hear(l.p.names[l.s]+" "+format, args...)
}

func (l *listener) Head(h *codec.Head, end bool)   { l.hear("response%s", described(h, end)) }
func (l *listener) Informational(h *codec.Head)    { l.hear("informational%s", described(h, false)) }
func (l *listener) Trailers(t *codec.Fields)       { l.hear("trailers%s", listed(t)) }
func (l *listener) Abort(r codec.Reason, d string) { l.hear("abort: %s, %s", r, d) }
func (l *listener) Writable()                      { l.hear("writable") }
func (l *listener) Body(b []byte, end bool) {
	if end {
		l.hear("body end %s", short(b))
	} else {
		l.hear("body %s", short(b))
	}
}
