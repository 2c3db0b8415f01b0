package http2

import "github.com/heddle-mesh/heddle/data/proxy/config"

// With is the limits with what is configured in their place.
func (l Limits) With(f *config.Frames) Limits {
	l.Connect = f.Connect
	for _, x := range []struct{ to, from *uint32 }{
		{&l.Streams, f.Streams}, {&l.StreamWindow, f.StreamWindow}, {&l.ConnWindow, f.ConnWindow}, {&l.TableSize, f.TableSize},
	} {
		if x.from != nil {
			*x.to = *x.from
		}
	}
	for _, x := range []struct {
		to   *int
		from *uint32
	}{
		{&l.OutputFrames, f.OutputFrames}, {&l.ControlFrames, f.ControlFrames}, {&l.EmptyFrames, f.EmptyFrames}, {&l.PriorityFrames, f.PriorityFrames},
		{&l.WindowUpdates, f.WindowUpdates},
	} {
		if x.from != nil {
			*x.to = int(*x.from)
		}
	}
	return l
}
