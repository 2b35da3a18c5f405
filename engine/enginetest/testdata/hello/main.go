// hello is what the containers of the engine tests run: a static program whose first argument says what it does.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("no arguments")
		return
	}
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "say":
		fmt.Println(strings.Join(arguments, " "))
	case "exit":
		os.Exit(number(arguments[0]))
	case "env":
		for _, name := range arguments {
			value, set := os.LookupEnv(name)
			fmt.Printf("%s=%s set=%t\n", name, value, set)
		}
	case "order": // a line on each stream in turn
		for i := range number(arguments[0]) {
			fmt.Println("out", i)
			fmt.Fprintln(os.Stderr, "err", i)
		}
	case "odd": // what a line-by-line log could mangle
		fmt.Print("progress 1%\rprogress 100%\r\n\n", strings.Repeat("x", 100_000), "\ntab\tand ümläut\nno newline at the end")
	case "long":
		w := bufio.NewWriter(os.Stdout)
		for i := range number(arguments[0]) {
			fmt.Fprintf(w, "line %07d of a long log\n", i)
		}
		_ = w.Flush()
	case "until": // says first, waits for a file, says second
		fmt.Println("first")
		for {
			if _, err := os.Stat(arguments[0]); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("second")
	case "polite", "stubborn": // ends when asked to, or does not
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		fmt.Println("ready")
		<-asked
		fmt.Println("asked to end")
		if os.Args[1] == "polite" {
			os.Exit(3)
		}
		select {}
	case "read":
		content, err := os.ReadFile(arguments[0])
		fmt.Printf("%s%v\n", content, err)
	case "write":
		fmt.Println(os.WriteFile(arguments[0], []byte(arguments[1]), 0o644))
	case "interfaces":
		interfaces, err := net.Interfaces()
		for _, i := range interfaces {
			fmt.Println(i.Name)
		}
		if err != nil {
			fmt.Println(err)
		}
	case "id":
		host, _ := os.Hostname()
		fmt.Println(os.Getpid(), host)
	default:
		fmt.Println("cannot", os.Args[1])
		os.Exit(2)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	return n
}
