package smuggling

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// silence is how long a proxy may say nothing before the client takes it that nothing more comes.
const silence = time.Second

// ender follows every attack on the same connection, so that most of them end at once; its answer, or what becomes of it, is part of what is compared.
const ender = "GET /end HTTP/1.1\r\nHost: end.test\r\nConnection: close\r\n\r\n"

// send1 sends an attack of HTTP/1 in so many writes, and gives the statuses of the answers in their order.
func send1(address string, b []byte, writes int) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b = append(bytes.Clone(b), ender...)
	go func() {
		for i := range writes {
			if i > 0 {
				time.Sleep(time.Millisecond)
			}
			if _, err := c.Write(b[i*len(b)/writes : (i+1)*len(b)/writes]); err != nil {
				return // refused already
			}
		}
	}()
	return statuses(c), nil
}

var (
	statusLine = regexp.MustCompile(`HTTP/1\.[01] (\d{3})`)
	lastOne    = regexp.MustCompile(`(?i)\r\nconnection: close\r\n`)
)

// statuses reads answers until the proxy ends the connection, says that it is the last one, or falls silent.
func statuses(c net.Conn) string {
	var got []byte
	wait := silence
	for buf := make([]byte, 64<<10); ; {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); lastOne.Match(got) {
			wait = silence / 50
		}
		if err != nil {
			break
		}
	}
	var list []string
	for _, m := range statusLine.FindAllSubmatch(got, -1) {
		list = append(list, string(m[1]))
	}
	return strings.Join(list, " ")
}

// send2 sends an attack of HTTP/2, on streams from 1 on (each block that is no trailers begins one), and after it the ender, and tells what became of each stream.
func send2(address string, frames []frame) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	encode := func(fields [][2]string) []byte {
		block.Reset()
		for _, f := range fields {
			_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
		}
		return block.Bytes()
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return "", err
	}
	f := http2.NewFramer(c, c)
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings()
	for _, one := range frames {
		if one.headers {
			err = writeHeaders(f, encode(one.fields), one.end)
		} else {
			err = f.WriteData(1, one.end, one.data)
		}
		if err != nil {
			return "", err
		}
	}
	_ = writeHeaders(f, encode([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "end.test"}, {":path", "/end"}}), true, 3)
	return streams(c, f), nil
}

// writeHeaders writes a block on stream 1, or the given one, in CONTINUATION frames where one frame is too small.
func writeHeaders(f *http2.Framer, block []byte, end bool, id ...uint32) error {
	stream := append(id, 1)[0]
	first := block[:min(len(block), 16<<10)]
	block = block[len(first):]
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		next := block[:min(len(block), 16<<10)]
		block = block[len(next):]
		err = f.WriteContinuation(stream, len(block) == 0, next)
	}
	return err
}

// streams reads frames until both streams have ended, the connection has, or nothing more comes.
func streams(c net.Conn, f *http2.Framer) string {
	said := map[uint32][]string{}
	ended := map[uint32]bool{}
	for !ended[1] || !ended[3] {
		_ = c.SetReadDeadline(time.Now().Add(silence))
		fr, err := f.ReadFrame()
		if err != nil {
			break
		}
		id := fr.Header().StreamID
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			if s := fr.PseudoValue("status"); s != "" {
				said[id] = append(said[id], s)
			}
			ended[id] = ended[id] || fr.StreamEnded()
		case *http2.DataFrame:
			ended[id] = ended[id] || fr.StreamEnded()
		case *http2.RSTStreamFrame:
			if !ended[id] { // after a whole answer it says nothing
				said[id] = append(said[id], "reset")
			}
			ended[id] = true
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = f.WriteSettingsAck()
			}
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s, %s", strings.Join(said[1], " "), strings.Join(said[3], " ")))
}

// canary asks for a path on a connection of its own, and says whether the answer is to that and nothing else.
func canary(address, path string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: canary.test\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := io.ReadAll(c)
	if want := "x-saw: GET canary.test " + path + "\r\n"; err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) || !bytes.Contains(bytes.ToLower(answer), bytes.ToLower([]byte(want))) {
		return fmt.Errorf("the next client was answered %q (%w), want %q in it", answer, err, want)
	}
	return nil
}
