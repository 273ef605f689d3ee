// Judges the history of an ensemble's registers with porcupine, which owes nothing to this repository.
//
// Standard input has one call a line, as tests/src/history.rs writes it; the program prints PASSED, or what is wrong.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/anishathalye/porcupine"
)

// What was asked and what was answered, in the words of the history.
type request struct {
	register, act  string
	value, version int64
}

type answer struct {
	kind           string
	version, value int64
}

// How often a register was set, and to what last.
type state struct {
	version, value int64
}

func step(s, in, out interface{}) (bool, interface{}) {
	now, asked, told := s.(state), in.(request), out.(answer)
	set := state{now.version + 1, asked.value}
	fits := asked.act == "set" || asked.version == now.version
	switch {
	case asked.act == "read":
		return told == answer{"state", now.version, now.value}, now
	case told.kind == "refused":
		return !fits, now
	case told.kind == "version":
		return fits && told.version == set.version, set
	case fits: // Without an answer it may happen whenever it can; placed after everything else it means never.
		return true, set
	default:
		return true, now
	}
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	parts := map[string][]porcupine.Operation{}
	for _, call := range history {
		register := call.Input.(request).register
		parts[register] = append(parts[register], call)
	}
	var all [][]porcupine.Operation
	for _, part := range parts {
		all = append(all, part)
	}
	return all
}

func read(from io.Reader) ([]porcupine.Operation, error) {
	var history []porcupine.Operation
	for in := bufio.NewReader(from); ; {
		var client int
		var called, returned uint64
		var asked request
		var told answer
		_, err := fmt.Fscan(in, &asked.register, &client, &called, &returned, &asked.act, &asked.value,
			&asked.version, &told.kind, &told.version, &told.value)
		if err == io.EOF {
			return history, nil
		}
		if err != nil {
			return nil, err
		}
		end := int64(math.MaxInt64)
		if returned < math.MaxInt64 {
			end = int64(returned)
		}
		history = append(history, porcupine.Operation{
			ClientId: client, Input: asked, Call: int64(called), Output: told, Return: end,
		})
	}
}

func main() {
	history, err := read(os.Stdin)
	if err != nil {
		fmt.Println("the history cannot be read:", err)
		os.Exit(1)
	}
	model := porcupine.Model{
		Partition: partition,
		Init:      func() interface{} { return state{} },
		Step:      step,
	}
	if !porcupine.CheckOperations(model, history) {
		fmt.Printf("a history of %d calls is not linearizable\n", len(history))
		os.Exit(1)
	}
	fmt.Printf("PASSED: %d calls\n", len(history))
}
