// Package heddle is the root of the repository; it holds no code, only the tests of the architecture's rules (arch_test.go, budget_test.go).
package heddle
