// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.ioasis.peer.ServerFuzzTargets.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The corpus of the fuzz targets in every build, as text that can be read in a change, and what is
 * nearly that beside it. New inputs are {@code ./ioasis fuzz}'s.
 */
class ServerFuzzTest {
    private static final int INPUTS = 5000;

    /** The inputs; each line has a name, a space and the bytes in hexadecimal. */
    private static List<byte[]> corpus(Target target) throws IOException {
        List<byte[]> inputs = new ArrayList<>();
        String name = "corpus/" + target.id() + ".hex";
        try (InputStream in = requireNonNull(ServerFuzzTest.class.getResourceAsStream(name))) {
            for (String line : new String(in.readAllBytes(), UTF_8).lines().toList()) {
                inputs.add(HexFormat.of().parseHex(line, line.indexOf(' ') + 1, line.length()));
            }
        }
        assertThat(inputs).isNotEmpty();
        return inputs;
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void theCorpusHolds(Target target) throws IOException {
        corpus(target).forEach(target::run);
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void whatIsNearlyTheCorpusHolds(Target target) throws IOException {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println(target.id() + " seed " + seed);
        Random random = new Random(seed);
        List<byte[]> corpus = corpus(target);
        for (int i = 0; i < INPUTS; i++) {
            byte[] bytes = corpus.get(random.nextInt(corpus.size())).clone();
            for (int n = random.nextInt(4); n >= 0 && bytes.length > 0; n--) {
                int at = random.nextInt(bytes.length);
                bytes[at] = (byte) (random.nextBoolean() ? random.nextInt() : random.nextInt(9));
            }
            try {
                target.run(bytes);
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError("seed %d, input %d".formatted(seed, i), e);
            }
        }
    }
}
