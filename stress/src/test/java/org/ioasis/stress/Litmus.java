// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import org.openjdk.jcstress.Options;
import org.openjdk.jcstress.infra.Status;
import org.openjdk.jcstress.infra.TestInfo;
import org.openjdk.jcstress.infra.collectors.TestResult;
import org.openjdk.jcstress.infra.runners.ForkedTestConfig;
import org.openjdk.jcstress.infra.runners.Runner;
import org.openjdk.jcstress.infra.runners.SpinLoopStyle;
import org.openjdk.jcstress.infra.runners.TestConfig;
import org.openjdk.jcstress.infra.runners.TestList;
import org.openjdk.jcstress.os.AffinityMode;
import org.openjdk.jcstress.os.NodeType;
import org.openjdk.jcstress.os.SchedulingClass;
import org.openjdk.jcstress.vm.CompileMode;

/**
 * Runs one litmus test in this JVM, as a JVM forked by jcstress would run it. The launcher of
 * jcstress asks the JVM for twenty things, then forks one for each combination of compilers: {@code
 * ./ioasis stress} does that, this is for every build. One thread.
 */
final class Litmus {
    private static final int ACTORS = 2;
    private static final int MILLIS = 200;
    private static final int ITERATIONS = 5;

    // Where others have the processors, the two threads of a test seldom run at the same time: then
    // it is tried again, and the one that waits for the other gives its processor away. Not without
    // end: the part of all tests together that is spent on that is limited.
    private static final long RUNS_WANTED = 400_000;
    private static final int TRIES = 6;
    private static final long NANOS_FOR_MORE = 30_000_000_000L;
    private static final long BEGUN = System.nanoTime();

    private Litmus() {}

    /** Passes if nothing was seen that may not be. */
    static void run(String name) throws IOException, ReflectiveOperationException {
        run(name, RUNS_WANTED);
    }

    /** The same for a state that costs more to make than to try. */
    static void run(String name, long wanted) throws IOException, ReflectiveOperationException {
        TestInfo info = TestList.getInfo(name);
        long runs = 0;
        for (int i = 0; i == 0 || (runs < wanted && mayTryAgain(i)); i++) {
            TestConfig config =
                    new TestConfig(
                            options(
                                    i == 0
                                            ? SpinLoopStyle.THREAD_SPIN_WAIT
                                            : SpinLoopStyle.THREAD_YIELD),
                            info,
                            0,
                            List.of(),
                            CompileMode.UNIFIED,
                            new SchedulingClass(AffinityMode.NONE, ACTORS, NodeType.PACKAGE));
            Runner<?> runner =
                    (Runner<?>)
                            Class.forName(info.generatedRunner())
                                    .getConstructor(ForkedTestConfig.class)
                                    .newInstance(new ForkedTestConfig(config));
            TestResult result = runner.run();
            result.setConfig(config);
            runs += result.getTotalCount();

            assertThat(result.status())
                    .as(result.getMessages().toString())
                    .isEqualTo(Status.NORMAL);
            assertThat(result.grading().failureMessages)
                    .as("%s, of %d runs", name, result.getTotalCount())
                    .isEmpty();
        }
        assertThat(runs).isPositive();
    }

    private static boolean mayTryAgain(int tries) {
        return tries < TRIES && System.nanoTime() - BEGUN < NANOS_FOR_MORE;
    }

    private static Options options(SpinLoopStyle waiting) throws IOException {
        Options options =
                new Options(
                        new String[] {
                            "-spinStyle",
                            waiting.name(),
                            "-c",
                            Integer.toString(ACTORS),
                            "-time",
                            Integer.toString(MILLIS),
                            "-iters",
                            Integer.toString(ITERATIONS),
                            "-strideSize",
                            Integer.toString(Strides.SIZE),
                            "-strideCount",
                            Integer.toString(Strides.COUNT)
                        });
        if (!options.parse()) {
            throw new IllegalStateException("jcstress does not know an option");
        }
        return options;
    }
}
