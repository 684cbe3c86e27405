// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Ctrl-C at any point leaves no child process, no socket, no temporary file. */
class InterruptTest {
    private static final int SIGINT_EXIT = 128 + 2;

    @TempDir Path temporary;
    @TempDir Path emptyCache;

    @Test
    void ctrlCWhileDownloadingLeavesNothingBehind() throws Exception {
        interruptAt("downloading", Map.of("IOASIS_CACHE", emptyCache.toString()));

        assertThat(list(emptyCache))
                .as("only the lock file stays in the cache")
                .containsExactly("lock");
    }

    @Test
    void ctrlCWhileBootingLeavesNothingBehind() throws Exception {
        interruptAt("booting", Map.of());
    }

    @Test
    void ctrlCInTheMiddleOfIoLeavesNothingBehind() throws Exception {
        interruptAt("guest: copy", Map.of());
    }

    @Test
    void ctrlCWhileDisksAreAssignedLeavesNothingBehind() throws Exception {
        interruptAt("guest: copy", Map.of(), "--assigned", "iommufd");
    }

    private void interruptAt(String line, Map<String, String> environment, String... more)
            throws Exception {
        List<String> words = new ArrayList<>(List.of("vm", "--accel", "tcg"));
        words.addAll(List.of(more));
        try (Command command =
                new Command(
                        with(environment, "TMPDIR", temporary.toString()),
                        words.toArray(String[]::new))) {
            command.await(line);
            List<ProcessHandle> children = command.descendants();

            command.interrupt();

            assertThat(command.end()).as(command.output()).isEqualTo(SIGINT_EXIT);
            assertThat(children).as("children that live on").noneMatch(ProcessHandle::isAlive);
            assertThat(list(temporary)).as("what is left in TMPDIR").isEmpty();
        }
    }

    private static Map<String, String> with(Map<String, String> map, String key, String value) {
        Map<String, String> more = new HashMap<>(map);
        more.put(key, value);
        return more;
    }

    private static List<String> list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        }
    }
}
