package http2

import "encoding/binary"

// Settings (RFC 9113 section 6.5.2, RFC 8441 section 3).
const (
	settingTableSize = 1 + iota
	settingPush
	settingStreams
	settingWindow
	settingFrame
	settingListSize
	_
	settingConnect = 8
)

// settings are what the peer has told.
type settings struct {
	streams uint32 // that it allows us
	window  uint32 // of a new stream
	frame   int
	connect bool // extended CONNECT
}

// initialSettings hold until the peer tells its own. It might allow fewer streams than RFC 9113 does without a word: as many as everybody should (section 6.5.2).
func initialSettings(l Limits) settings {
	return settings{streams: min(l.Streams, 100), window: initialWindow, frame: minFrame}
}

// greet sends the preface (RFC 9113 section 3.4), with a larger window for the connection.
func (c *Conn) greet() {
	b := c.slab.out[:0]
	if c.role == Client {
		b = append(b, preface...)
	}
	at := len(b)
	b = appendFrame(b, frame{kind: kindSettings})
	put := func(id uint16, v uint32) {
		b = binary.BigEndian.AppendUint16(b, id)
		b = binary.BigEndian.AppendUint32(b, v)
	}
	if c.limits.TableSize != protocolTable {
		put(settingTableSize, c.limits.TableSize)
	}
	if c.role == Client {
		put(settingPush, 0)
	} else {
		put(settingStreams, c.limits.Streams)
		if c.limits.Connect {
			put(settingConnect, 1)
		}
	}
	put(settingWindow, c.limits.StreamWindow)
	put(settingListSize, uint32(c.limits.HeadBytes))
	b[at+2] = byte(len(b) - at - frameHeader)
	c.pending = true
	c.write(b, true)
	c.limits.ConnWindow = max(c.limits.ConnWindow, initialWindow)
	if n := int64(c.limits.ConnWindow) - initialWindow; n > 0 {
		c.window += n
		c.sendWindowUpdate(0, n)
	}
}

// settings obeys the peer's settings, or hears that ours are obeyed.
func (c *Conn) settings(f frame, p []byte) *Error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "SETTINGS of a stream")
	case f.has(flagAck):
		if len(p) != 0 {
			return broken(FrameSizeError, "SETTINGS acknowledged with a payload")
		}
		c.acknowledged()
		return nil
	case len(p)%6 != 0:
		return broken(FrameSizeError, "SETTINGS of a wrong size")
	}
	if c.state == stateSettings {
		c.state = stateFrame
		c.peer.streams = c.limits.Streams // unless it says otherwise
	}
	c.flood.Settings++
	window := c.peer.window
	for ; len(p) > 0; p = p[6:] {
		if err := c.setting(binary.BigEndian.Uint16(p), be32(p[2:])); err != nil {
			return err
		}
	}
	// Only the last of several windows counts, so that a frame full of them is no work.
	if err := c.moveWindows(int64(c.peer.window) - int64(window)); err != nil {
		return err
	}
	c.write(appendFrame(c.slab.out[:0], frame{kind: kindSettings, flags: flagAck}), true)
	c.pump()
	return nil
}

func (c *Conn) setting(id uint16, v uint32) *Error {
	switch id {
	case settingTableSize:
		c.encoder.SetLimit(v)
	case settingPush:
		if v > 1 || v == 1 && c.role == Client {
			return broken(ProtocolError, "SETTINGS_ENABLE_PUSH of a wrong value")
		}
	case settingStreams:
		c.peer.streams = min(v, c.limits.Streams)
	case settingWindow:
		if v > maxWindow {
			return broken(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
		}
		c.peer.window = v
	case settingFrame:
		if v < minFrame || v > maxFrame {
			return broken(ProtocolError, "SETTINGS_MAX_FRAME_SIZE of a wrong value")
		}
		c.peer.frame = int(v)
	case settingConnect:
		if v > 1 || v == 0 && c.peer.connect {
			return broken(ProtocolError, "SETTINGS_ENABLE_CONNECT_PROTOCOL of a wrong value")
		}
		c.peer.connect = v == 1
	}
	return nil
}

// moveWindows changes what every open stream may send (RFC 9113 section 6.9.2). A window can become negative.
func (c *Conn) moveWindows(by int64) (err *Error) {
	if by == 0 {
		return nil
	}
	c.streams.each(func(s *Stream) {
		if s.sendWindow += by; s.sendWindow > maxWindow {
			err = broken(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large")
		}
		s.mayRing()
	})
	return err
}

// acknowledged puts our settings in force: from here on the peer sends by them.
func (c *Conn) acknowledged() {
	if !c.pending {
		return
	}
	c.pending = false
	c.decoder.SetLimit(c.limits.TableSize)
	by := int64(c.limits.StreamWindow) - c.streamWins
	c.streamWins = int64(c.limits.StreamWindow)
	c.streams.each(func(s *Stream) { s.window += by })
}

// windowUpdate lets us send more (RFC 9113 section 6.9).
func (c *Conn) windowUpdate(f frame, p []byte) *Error {
	if len(p) != 4 {
		return broken(FrameSizeError, "WINDOW_UPDATE of a wrong size")
	}
	if err := c.flood.windowUpdate(&c.limits); err != nil {
		return err
	}
	n := int64(be32(p) & maxWindow)
	if f.stream == 0 {
		if c.sendWindow += n; n == 0 {
			return broken(ProtocolError, "WINDOW_UPDATE of nothing")
		}
		if c.sendWindow > maxWindow {
			return broken(FlowControlError, "WINDOW_UPDATE makes the window too large")
		}
		c.pump()
		return nil
	}
	if c.idle(f.stream) {
		return broken(ProtocolError, "WINDOW_UPDATE of an idle stream")
	}
	s := c.streams.get(f.stream)
	if s == nil {
		return nil
	}
	s.sendWindow += n
	switch {
	case n == 0:
		s.broke(ErrMessage)
	case s.sendWindow > maxWindow:
		s.broke(&Error{Code: FlowControlError, Detail: ErrMessage.Detail})
	default:
		s.mayRing()
		c.pump()
	}
	return nil
}

func (c *Conn) sendWindowUpdate(id uint32, n int64) {
	b := appendFrame(c.slab.out[:0], frame{length: 4, kind: kindWindowUpdate, stream: id})
	c.write(binary.BigEndian.AppendUint32(b, uint32(n)), true)
}
