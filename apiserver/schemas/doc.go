// Package schemas holds no code: its test judges the fixtures of the root module's rules with the API server's own validation.
package schemas
