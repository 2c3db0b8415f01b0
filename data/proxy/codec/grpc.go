package codec

import (
	"strconv"
	"time"
)

// SetGRPCTimeout writes the field grpc-timeout in the finest unit, from milliseconds on, that its 8 digits have room for.
func SetGRPCTimeout(h *Head, d time.Duration) {
	for _, u := range [...]struct {
		unit time.Duration
		name byte
	}{{time.Millisecond, 'm'}, {time.Second, 'S'}, {time.Minute, 'M'}, {time.Hour, 'H'}} {
		if n := int64(d / u.unit); n < 1e8 {
			h.Set(GRPCTimeout, append(strconv.AppendInt(nil, n, 10), u.name))
			return
		}
	}
}
