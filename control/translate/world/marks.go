package world

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/mesh"
)

// Marks gives what is told of the labels and annotations of objects, and what is wrong with the objects.
func Marks(settings *mesh.Settings, data []byte) (told, problems []mesh.Problem) {
	objects, problems := api.DecodeAll(data, "")
	for _, o := range objects {
		told = append(told, translate.Marks(o, settings)...)
	}
	return told, problems
}
