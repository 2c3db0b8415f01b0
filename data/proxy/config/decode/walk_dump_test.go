package decode

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	cel "github.com/heddle-mesh/heddle/telemetry/attribute"
)

// dump writes a configuration with everything that is in it, so that two can be compared.
func dump(v any) string {
	var b strings.Builder
	dumpValue(&b, reflect.ValueOf(v))
	return b.String()
}

func dumpValue(b *strings.Builder, v reflect.Value) {
	if !v.IsValid() {
		b.WriteString("nil")
		return
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case *regexp.Regexp:
			fmt.Fprintf(b, "%v", x)
			return
		case *cel.Expression:
			fmt.Fprintf(b, "%v", x)
			return
		case *accesslog.Log:
			dumpLog(b, x)
			return
		case *accesslog.Format:
			b.WriteString(format(x))
			return
		case *corev3.Node:
			b.WriteString(protojson.MarshalOptions{}.Format(x))
			return
		case netip.Addr, netip.AddrPort, netip.Prefix, time.Duration:
			fmt.Fprintf(b, "%v", x)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		b.WriteString("&")
		dumpValue(b, v.Elem())
	case reflect.Struct:
		b.WriteString(v.Type().Name() + "{")
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				b.WriteString(v.Type().Field(i).Name + ":")
				dumpValue(b, f)
				b.WriteString(" ")
			}
		}
		b.WriteString("}")
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%q", v.Bytes())
			return
		}
		b.WriteString("[")
		for i := range v.Len() {
			dumpValue(b, v.Index(i))
			b.WriteString(" ")
		}
		b.WriteString("]")
	case reflect.Map:
		fmt.Fprintf(b, "%v", v) // ordered by key; values are plain
	case reflect.Func:
		panic("a function cannot be compared: " + v.Type().String())
	default:
		fmt.Fprintf(b, "%v", v)
	}
}

// headers answers with the name that was asked for.
type headers struct{}

// Get implements accesslog.Headers.
func (headers) Get(name string) ([]byte, bool) { return []byte("<" + name + ">"), name != "x-absent" }

// format is what a format makes of a record.
func format(f *accesslog.Format) string {
	return string(f.Append(nil, &accesslog.Record{Code: 418, Flags: "NR", Request: headers{}, Response: headers{}, Protocol: "P", Duration: 5 * time.Millisecond}))
}

// dumpLog tells logs apart by what they write and keep.
func dumpLog(b *strings.Builder, l *accesslog.Log) {
	b.WriteString("log ")
	if l.Format != nil {
		b.WriteString(format(l.Format))
	}
	if l.Keep == nil {
		b.WriteString("all")
		return
	}
	for code := range 12 {
		for ms := range 12 {
			for _, flags := range []string{"", "NR", "UH", "x"} {
				if l.Keep(&accesslog.Record{Code: code, Duration: time.Duration(ms) * time.Millisecond, Flags: flags}) {
					fmt.Fprintf(b, " %d,%d,%s", code, ms, flags)
				}
			}
		}
	}
}
