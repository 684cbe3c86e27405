// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.util.HexFormat;
import java.util.List;
import org.ioasis.virtio.iommu.FuzzTargets.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The corpus in every build: what Jazzer has kept because it reached something new, and each
 * finding under a name of its own, as text that can be read in a change. New inputs are {@code
 * ./ioasis fuzz}'s.
 */
class FuzzTest {
    /** One line: the name of the input, a space, its bytes in hexadecimal. */
    private static List<String> corpus(Target target) throws IOException {
        String name = "corpus/" + target.id() + ".hex";
        try (InputStream in = requireNonNull(FuzzTest.class.getResourceAsStream(name))) {
            return new String(in.readAllBytes(), UTF_8).lines().toList();
        }
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void theCorpusHolds(Target target) throws IOException {
        List<String> corpus = corpus(target);
        for (String line : corpus) {
            int space = line.indexOf(' ');
            try {
                FuzzTargets.run(target, HexFormat.of().parseHex(line, space + 1, line.length()));
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError(
                        target.id() + "/" + line.substring(0, space) + ": " + e.getMessage(), e);
            }
        }
        assertThat(corpus).isNotEmpty();
    }

    @ParameterizedTest
    @EnumSource
    void theCorpusOfTablesReachesWhatMatters(Profile profile) throws IOException {
        Target target =
                profile == Profile.TABLES_2021 ? Target.ARM_TABLE_QUEUE : Target.TABLE_QUEUE;
        int attached = 0;
        int walked = 0;
        int invalidated = 0;
        int answered = 0;
        int refused = 0;
        for (String line : corpus(target)) {
            int space = line.indexOf(' ');
            TableFuzz.Seen seen =
                    TableFuzz.run(profile, HexFormat.of().parseHex(line, space + 1, line.length()));
            attached += seen.attached;
            walked += seen.walked;
            invalidated += seen.invalidated;
            answered += seen.answered;
            refused += seen.refused;
        }
        assertThat(List.of(attached, walked, invalidated, answered, refused))
                .allSatisfy(count -> assertThat(count).isPositive());
    }
}
