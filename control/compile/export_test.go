package compile

import (
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

// World is a mesh made of YAML, for the tests that run a real Envoy.
type World struct{ w *world }

// NewWorld makes an empty one.
func NewWorld(t testing.TB, s *mesh.Settings) *World { return &World{newWorld(t, s)} }

// DefaultSettings are those of the fixtures.
func DefaultSettings() *mesh.Settings { return defaultSettings() }

// Publish applies objects.
func (w *World) Publish(t testing.TB, text string) (*Store, Changes) {
	changes := w.w.apply(t, text)
	return w.w.now, changes
}
