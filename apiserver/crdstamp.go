package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stamp adds the hash annotation that tells a later start whether the definition
// in the store is this one. (crdgen does it for the embedded ones.)
func stamp(body []byte) ([]byte, error) {
	var obj unstructured.Unstructured
	if err := json.Unmarshal(body, &obj.Object); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[hashAnnotation] = hex.EncodeToString(sum[:8])
	obj.SetAnnotations(annotations)
	return json.Marshal(obj.Object)
}

func readAll(name string) (string, error) {
	text, err := os.ReadFile(name)
	return string(text), err
}
