package text

import (
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// Settings writes what a MeshConfig means: the settings, and what its owner is told; or why it is refused.
func Settings(s *mesh.Settings, problems []mesh.Problem, err error) string {
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	return Dump(s) + Told(problems, nil)
}

// Told writes what the owner of a file is told; or why it is refused.
func Told(problems []mesh.Problem, err error) string {
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(string(p.Code) + " " + p.String() + "\n")
	}
	return b.String()
}
