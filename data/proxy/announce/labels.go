package announce

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseLabels reads the file that Kubernetes' downward API writes of a pod's labels: KEY="VALUE" in each line, the value quoted as in Go.
func ParseLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, quoted, _ := strings.Cut(line, "=")
		value, err := strconv.Unquote(quoted)
		if err != nil || key == "" {
			return nil, fmt.Errorf("%q is not KEY=\"VALUE\"", line)
		}
		labels[key] = value
	}
	return labels, nil
}
