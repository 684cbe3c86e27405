// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The recordings that come with the project: real guests, small enough, and exact. */
final class GuestTracesTest {
    private static final long SIZE_MAX = 2 << 20;

    @ParameterizedTest
    @CsvSource({"copy, 1000", "fio, 100000", "net, 10000", "vfio, 1000"})
    void aRecordingOfAGuestIsReplayedExactly(String name, long leastRows) throws IOException {
        Path file = Path.of("../docs/traces").resolve(name + ".parquet");

        Replay.Result result = Replay.of(file);

        assertThat(result.difference()).isNull();
        assertThat(result.isExact()).isTrue();
        assertThat(result.rows()).isGreaterThan(leastRows);
        assertThat(Files.size(file)).isLessThanOrEqualTo(SIZE_MAX);
    }
}
