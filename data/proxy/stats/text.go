package stats

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// WritePrometheus writes the series that keep selects (nil: all) in Prometheus' text format 0.0.4.
func (r *Registry) WritePrometheus(w io.Writer, keep func(*Sample) bool) error {
	last := ""
	buf := make([]byte, 0, 4096)
	for _, m := range r.Snapshot() {
		if m.Name == "" || keep != nil && !keep(&m) {
			continue
		}
		if m.Name != last {
			last = m.Name
			if m.Help != "" {
				buf = append(append(append(append(append(buf, "# HELP "...), m.Name...), ' '), escapeHelp(m.Help)...), '\n')
			}
			buf = append(append(append(append(buf, "# TYPE "...), m.Name...), ' '), m.Kind.String()...)
			buf = append(buf, '\n')
		}
		buf = m.appendPrometheus(buf)
		if len(buf) > 32<<10 {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write metrics: %w", err)
			}
			buf = buf[:0]
		}
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// String is Prometheus' word for the kind.
func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

func (m *Sample) appendPrometheus(b []byte) []byte {
	switch m.Kind {
	case KindCounter:
		return append(strconv.AppendUint(m.head(b, "", ""), m.Value, 10), '\n')
	case KindGauge:
		return append(strconv.AppendInt(m.head(b, "", ""), m.Gauge, 10), '\n')
	}
	total := uint64(0)
	for i, n := range m.Buckets {
		total += n
		bound := "+Inf"
		if i < len(m.Bounds) {
			bound = strconv.FormatFloat(m.Bounds[i], 'g', -1, 64)
		}
		b = append(strconv.AppendUint(m.head(b, "_bucket", bound), total, 10), '\n')
	}
	b = append(strconv.AppendUint(m.head(b, "_sum", ""), m.Sum, 10), '\n')
	return append(strconv.AppendUint(m.head(b, "_count", ""), total, 10), '\n')
}

// head writes the name and the labels.
func (m *Sample) head(b []byte, suffix, bound string) []byte {
	b = append(append(b, m.Name...), suffix...)
	if len(m.Labels) == 0 && bound == "" {
		return append(b, ' ')
	}
	b = append(b, '{')
	for i, l := range m.Labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabel(b, l.Name, l.Value)
	}
	if bound != "" {
		if len(m.Labels) > 0 {
			b = append(b, ',')
		}
		b = appendLabel(b, "le", bound)
	}
	return append(b, '}', ' ')
}

func appendLabel(b []byte, name, value string) []byte {
	b = append(append(b, name...), '=', '"')
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '\\':
			b = append(b, '\\', '\\')
		case '"':
			b = append(b, '\\', '"')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func escapeHelp(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "\n", `\n`)
}

// WriteText writes counters and gauges in the form of Envoy's /stats: "dotted.name: value", sorted. keep selects; nil keeps all.
func (r *Registry) WriteText(w io.Writer, keep func(*Sample) bool) error {
	var lines []string
	for _, m := range r.Snapshot() {
		if m.Dotted == "" || keep != nil && !keep(&m) {
			continue
		}
		value := ""
		switch m.Kind {
		case KindCounter:
			value = strconv.FormatUint(m.Value, 10)
		case KindGauge:
			value = strconv.FormatInt(m.Gauge, 10)
		case KindHistogram:
			total := uint64(0)
			for _, n := range m.Buckets {
				total += n
			}
			value = fmt.Sprintf("count %d sum %d", total, m.Sum)
		}
		lines = append(lines, m.Dotted+": "+value+"\n")
	}
	slices.Sort(lines)
	_, err := io.WriteString(w, strings.Join(lines, ""))
	if err != nil {
		return fmt.Errorf("write statistics: %w", err)
	}
	return nil
}
