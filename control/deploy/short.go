package deploy

import (
	"crypto/sha256"
	"encoding/hex"
)

// short is the beginning of a text's hash, for names that would be too long.
func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
