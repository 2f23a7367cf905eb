// Go's own HTTP client, as it is: GET the URL that is given and print status and body.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(answer.StatusCode, string(body))
}
