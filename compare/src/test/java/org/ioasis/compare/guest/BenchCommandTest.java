// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.stream.Stream;
import org.ioasis.cli.Main;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The command as the command line finds it, and what it says to wrong arguments. */
class BenchCommandTest {
    private static Stream<Arguments> wrongArguments() {
        return Stream.of(
                arguments("", "bench what: guest"),
                arguments("guest --rounds 0", "--rounds must be at least 1, not 0"),
                arguments("guest --seconds 0", "--seconds must be at least 1, not 0"),
                arguments("guest --processors -1", "--processors must be at least 1, not -1"),
                arguments(
                        "guest --cell rr2",
                        "--cell is one of rr1, rr16, rw1, rw16, sr, sw, not rr2"),
                arguments("guest --mode eager", "--mode is lazy or strict, not eager"),
                arguments(
                        "guest --subject mine",
                        "--subject is qemu or ours or with or iommufd or type1, not mine"));
    }

    @ParameterizedTest
    @MethodSource("wrongArguments")
    void wrongArgumentsAreNamedWithTheUsage(String line, String reason) {
        StringWriter errors = new StringWriter();
        String[] words =
                Stream.concat(
                                Stream.of("bench"),
                                Arrays.stream(line.split(" ", -1)).filter(word -> !word.isEmpty()))
                        .toArray(String[]::new);

        int code = Main.commandLine().setErr(new PrintWriter(errors, true)).execute(words);

        assertThat(errors.toString()).contains(reason).contains("Usage: ioasis bench");
        assertThat(code).isEqualTo(2);
    }
}
