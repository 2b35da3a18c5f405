// Command train stands for somebody's training code in the demo's image: it needs nothing but itself.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"time"
)

func main() {
	epochs := flag.Int("epochs", 3, "passes over the data")
	pause := flag.Duration("pause", 0, "time that an epoch takes")
	rate := flag.Float64("learning-rate", 0.1, "step size")
	fail := flag.Bool("fail", false, "end with exit code 2")
	flag.Parse()
	fmt.Printf("training for %d epochs at learning rate %g, dataset %q\n", *epochs, *rate, os.Getenv("DATASET"))
	weight := 0.0
	for epoch := 1; epoch <= *epochs; epoch++ {
		time.Sleep(*pause)
		weight += *rate * 2 * (1 - weight) // towards the minimum of (1-w)^2
		fmt.Printf("epoch %d  loss %.4f\n", epoch, math.Pow(1-weight, 2))
	}
	if *fail {
		fmt.Println("failed")
		os.Exit(2)
	}
	fmt.Println("done")
}
