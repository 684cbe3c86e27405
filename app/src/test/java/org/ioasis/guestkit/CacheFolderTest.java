// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A cache in a folder that is used for something else as well. */
class CacheFolderTest {
    @TempDir Path folder;

    @Test
    void whatTheUserKeepsInTheFolderStays() throws Exception {
        HostFixture machine = new HostFixture(folder);
        Path notes = Files.createDirectories(machine.cache().resolve("tmp-notes")).resolve("a");
        Files.writeString(notes, "mine");
        Path own = Files.createDirectories(machine.cache().resolve("qemu")).resolve("b");
        Files.writeString(own, "mine too");
        try (Cleanup cleanup = Cleanup.atExit()) {
            CacheFolder cache = CacheFolder.open(machine.host());

            cache.sweep(cleanup);

            assertThat(notes).hasContent("mine");
            assertThatThrownBy(() -> cache.part("qemu"))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("qemu is there and Ioasis has not made it");
            Path fresh = cache.newTemporary(cleanup);
            assertThatThrownBy(() -> cache.publish(fresh, "qemu", Map.of(), cleanup))
                    .isInstanceOf(IOException.class);
            assertThat(own).hasContent("mine too");
        }
        assertThat(machine.cache()).isDirectoryNotContaining("glob:**.ioasis-tmp-*");
    }

    @Test
    void partOfItsOwnIsReplaced() throws Exception {
        try (Cleanup cleanup = Cleanup.atExit()) {
            CacheFolder cache = CacheFolder.open(new HostFixture(folder).host());
            for (String version : new String[] {"1", "2"}) {
                Path fresh = cache.newTemporary(cleanup);
                Files.writeString(fresh.resolve(version), "");
                CacheFolder.Part part =
                        cache.publish(fresh, "qemu", Map.of("version", version), cleanup);
                assertThat(part.notes()).containsEntry("version", version);
                assertThat(part.folder().resolve(version)).exists();
            }
            assertThat(cache.root().resolve("qemu/1")).doesNotExist();
        }
    }
}
