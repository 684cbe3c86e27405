// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.zip.GZIPOutputStream;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.CompressionCodec;
import org.apache.parquet.format.DictionaryPageHeader;
import org.apache.parquet.format.Encoding;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.PageType;
import org.apache.parquet.format.Util;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Pages of a file that anybody may have written. */
final class ChunkPagesTest {
    @TempDir private Path folder;

    /** The dictionary of a file that has nothing else. */
    private @Nullable DictionaryPage dictionary(int said, int really, int entries)
            throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
            gzip.write(new byte[really]);
        }
        PageHeader head = new PageHeader(PageType.DICTIONARY_PAGE, said, packed.size());
        head.setDictionary_page_header(new DictionaryPageHeader(entries, Encoding.PLAIN));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Util.writePageHeader(head, bytes);
        packed.writeTo(bytes);
        Path file = folder.resolve("page");
        Files.write(file, bytes.toByteArray());
        ColumnMetaData about =
                new ColumnMetaData(
                        Columns.EVENT.type(),
                        List.of(Encoding.PLAIN),
                        List.of(Columns.EVENT.column()),
                        CompressionCodec.GZIP,
                        1,
                        bytes.size(),
                        bytes.size(),
                        0);
        try (FileChannel channel = FileChannel.open(file)) {
            return new ChunkPages(
                            channel,
                            Columns.EVENT,
                            Columns.schema().getColumns().get(0).getPrimitiveType(),
                            about,
                            1)
                    .readDictionaryPage();
        }
    }

    private void refused(int said, int really, int entries, String why) {
        assertThatThrownBy(() -> dictionary(said, really, entries))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining(why);
    }

    @Test
    void aPageOfMoreThanItMayHaveIsRefused() throws IOException {
        int most = ChunkPages.PAGE_MAX;
        DictionaryPage page = requireNonNull(dictionary(most, most, 1));
        assertThat(page.getBytes().size()).isEqualTo(most);
        refused(most + 1, most + 1, 1, "a page of ");
        refused(-1, 10, 1, "a page of ");
        // What it says is small, and what comes is not.
        refused(1000, 64 << 20, 1, "a page of another size than it says");
        refused(1000, 10, 1, "a page of another size than it says");
        refused(10, 10, 11, "a dictionary of 11 entries");
    }
}
