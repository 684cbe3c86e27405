// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.ioasis.host.HostFuzzTargets.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The corpus of the fuzz targets in every build, as text that can be read in a change, and random
 * inputs beside it. New inputs are {@code ./ioasis fuzz}'s.
 */
class HostFuzzTest {
    private static final int INPUTS = 2000;
    private static final int LENGTH_MAX = 400;

    /** One line: the name of the input, a space, its bytes in hexadecimal. */
    private static List<String> corpus(Target target) throws IOException {
        String name = "corpus/" + target.id() + ".hex";
        try (InputStream in = requireNonNull(HostFuzzTest.class.getResourceAsStream(name))) {
            return new String(in.readAllBytes(), UTF_8).lines().toList();
        }
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void theCorpusHolds(Target target) throws IOException {
        List<String> corpus = corpus(target);
        for (String line : corpus) {
            int space = line.indexOf(' ');
            run(
                    target,
                    line.substring(0, space),
                    HexFormat.of().parseHex(line, space + 1, line.length()));
        }
        assertThat(corpus).isNotEmpty();
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void randomInputsHold(Target target) {
        long seed = System.nanoTime();
        System.out.println(target.id() + " seed " + seed);
        Random random = new Random(seed);
        for (int i = 0; i < INPUTS; i++) {
            byte[] bytes = new byte[random.nextInt(LENGTH_MAX)];
            random.nextBytes(bytes);
            // Small numbers are what most fields have.
            for (int at = 0; at < bytes.length; at++) {
                if (random.nextInt(3) == 0) {
                    bytes[at] = (byte) random.nextInt(8);
                }
            }
            run(target, "seed " + seed + ", input " + i, bytes);
        }
    }

    private static void run(Target target, String name, byte[] bytes) {
        try {
            target.run(bytes);
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError(target.id() + "/" + name + ": " + e.getMessage(), e);
        }
    }
}
