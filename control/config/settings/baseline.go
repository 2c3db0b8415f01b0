package settings

import (
	"errors"
	"fmt"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/control/config/bounds"
	"github.com/heddle-mesh/heddle/mesh"
)

// baseline reads what counts towards services whose rule says nothing.
func baseline(s *mesh.Settings, in *meshconfig.MeshConfig_DefaultTrafficPolicy, problems *[]mesh.Problem) (err error) {
	tell := func(path string) bounds.Tell {
		return func(code mesh.Code, field, hint, message string) {
			if field = path + "." + field; code == mesh.CodeInvalid {
				err = errors.Join(err, fmt.Errorf("field %s: %s", field, message))
			} else {
				*problems = append(*problems, mesh.Problem{Field: field, Code: code, Message: message, Hint: hint})
			}
		}
	}
	s.Baseline.Pool = bounds.Pool(in.GetConnectionPool(), tell("defaultTrafficPolicy.connectionPool"))
	s.Baseline.Outlier = bounds.Outliers(in.GetOutlierDetection(), tell("defaultTrafficPolicy.outlierDetection"))
	return err
}
