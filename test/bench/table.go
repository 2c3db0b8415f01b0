package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// tables are printed as Markdown: what a run says is what docs/benchmarks.md shows.
type tables struct {
	rows  [][]string
	notes []string
}

func table(columns ...string) *tables { return &tables{rows: [][]string{columns}} }

func (t *tables) row(cells ...string) { t.rows = append(t.rows, cells) }

// note is told below the table.
func (t *tables) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// end prints it; the first column is text, the others are figures.
func (t *tables) end() {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Println()
	for n, row := range t.rows {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Print("| ", cell, space, " |")
			} else {
				fmt.Print(" ", space, cell, " |")
			}
		}
		fmt.Println()
		if n == 0 {
			fmt.Print("|", strings.Repeat("-", widths[0]+2), "|")
			for _, w := range widths[1:] {
				fmt.Print(strings.Repeat("-", w+1), ":|")
			}
			fmt.Println()
		}
	}
	for _, n := range t.notes {
		fmt.Println("\n" + n)
	}
}
