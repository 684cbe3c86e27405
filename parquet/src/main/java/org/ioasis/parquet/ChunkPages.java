// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.zip.GZIPInputStream;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.column.Encoding;
import org.apache.parquet.column.page.DataPage;
import org.apache.parquet.column.page.DataPageV2;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.column.statistics.Statistics;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.DataPageHeaderV2;
import org.apache.parquet.format.DictionaryPageHeader;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.PageType;
import org.apache.parquet.format.Util;
import org.apache.parquet.schema.PrimitiveType;
import org.jspecify.annotations.Nullable;

/**
 * The pages of one column of one part of a file that anybody may have written: no more than one at
 * a time is in memory, none larger than ours ever are, and of no other kind. One thread. What is
 * wrong comes as an {@link UncheckedIOException}, through the library.
 */
final class ChunkPages implements PageReader {
    /** Of a page, compressed and not. */
    static final int PAGE_MAX = 1 << 21;

    private static final int HEAD_MAX = 1 << 12;

    private final FileChannel file;
    private final Columns column;
    private final PrimitiveType type;
    private final long values;
    private final long end;
    private long at;
    private long valuesSeen;

    /**
     * @param rows of the part
     * @throws IOException it is not where it says
     */
    ChunkPages(
            FileChannel file, Columns column, PrimitiveType type, ColumnMetaData about, long rows)
            throws IOException {
        this.file = file;
        this.column = column;
        this.type = type;
        values = about.getNum_values();
        at =
                about.isSetDictionary_page_offset()
                        ? about.getDictionary_page_offset()
                        : about.getData_page_offset();
        long bytes = about.getTotal_compressed_size();
        if (values != rows || at < 0 || bytes < 0 || at > file.size() - bytes) {
            throw new IOException("column %s is not where it says".formatted(column.column()));
        }
        end = at + bytes;
    }

    @Override
    public long getTotalValueCount() {
        return values;
    }

    @Override
    public @Nullable DictionaryPage readDictionaryPage() {
        try {
            long before = at;
            PageHeader head = head();
            if (head.getType() != PageType.DICTIONARY_PAGE) {
                at = before;
                return null;
            }
            DictionaryPageHeader of = head.getDictionary_page_header();
            if (of == null) {
                throw new IOException("a dictionary that does not say how long it is");
            }
            int count = of.getNum_values();
            byte[] plain = plain(head, 0, true);
            // Each entry has at least a byte, and a string four for its length.
            if (count < 0 || count > plain.length) {
                throw new IOException("a dictionary of %d entries".formatted(count));
            }
            return new DictionaryPage(BytesInput.from(plain), count, Encoding.PLAIN);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public @Nullable DataPage readPage() {
        try {
            return at >= end ? null : dataPage();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private DataPage dataPage() throws IOException {
        PageHeader head = head();
        DataPageHeaderV2 of = head.getData_page_header_v2();
        if (head.getType() != PageType.DATA_PAGE_V2 || of == null) {
            throw new IOException("a page of a kind that no recording has");
        }
        int count = of.getNum_values();
        int nulls = of.getNum_nulls();
        int levels = of.getDefinition_levels_byte_length();
        valuesSeen += count;
        if (count < 1 || valuesSeen > values || nulls < 0 || nulls > count) {
            throw new IOException("a page with %d values".formatted(count));
        }
        if (of.getRepetition_levels_byte_length() != 0
                || levels < 0
                || levels > head.getCompressed_page_size()) {
            throw new IOException("a page with %d bytes of levels".formatted(levels));
        }
        byte[] defined = bytes(levels);
        PageCheck.hybrid(defined, 0, levels, column.definition(), count);
        byte[] plain = plain(head, levels, of.isIs_compressed());
        Encoding encoding = encoding(of, plain, count);
        return DataPageV2.uncompressed(
                count,
                nulls,
                count,
                BytesInput.empty(),
                BytesInput.from(defined),
                encoding,
                BytesInput.from(plain),
                Statistics.createStats(type));
    }

    private static Encoding encoding(DataPageHeaderV2 of, byte[] plain, int count)
            throws IOException {
        if (of.getEncoding() == null) {
            throw new IOException("a page without an encoding");
        }
        return switch (of.getEncoding()) {
            case RLE_DICTIONARY -> {
                if (plain.length > 0) {
                    PageCheck.hybrid(plain, 1, plain.length, plain[0], count);
                }
                yield Encoding.RLE_DICTIONARY;
            }
            case DELTA_BINARY_PACKED -> {
                PageCheck.differences(plain, 0, plain.length, count);
                yield Encoding.DELTA_BINARY_PACKED;
            }
            case PLAIN -> {
                if (of.getNum_nulls() != count || plain.length != 0) {
                    throw new IOException("a page with values that are not encoded");
                }
                yield Encoding.PLAIN;
            }
            default ->
                    throw new IOException(
                            "a page in an encoding that no recording has: " + of.getEncoding());
        };
    }

    private PageHeader head() throws IOException {
        byte[] window = peek((int) Math.min(HEAD_MAX, end - at));
        ByteArrayInputStream in = new ByteArrayInputStream(window);
        PageHeader head = Util.readPageHeader(in);
        at += window.length - in.available();
        boolean isSmall =
                head.getCompressed_page_size() >= 0
                        && head.getCompressed_page_size() <= Math.min(PAGE_MAX, end - at)
                        && head.getUncompressed_page_size() >= 0
                        && head.getUncompressed_page_size() <= PAGE_MAX;
        if (!isSmall) {
            throw new IOException(
                    "a page of %d bytes, or %d"
                            .formatted(
                                    head.getCompressed_page_size(),
                                    head.getUncompressed_page_size()));
        }
        return head;
    }

    /** What is behind the levels, as it was before it was compressed. */
    private byte[] plain(PageHeader head, int levels, boolean isCompressed) throws IOException {
        byte[] packed = bytes(head.getCompressed_page_size() - levels);
        if (!isCompressed) {
            return packed;
        }
        int length = head.getUncompressed_page_size() - levels;
        if (length < 0) {
            throw new IOException("a page of %d bytes".formatted(length));
        }
        try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(packed))) {
            byte[] plain = in.readNBytes(length);
            if (plain.length != length || in.read() != -1) {
                throw new IOException("a page of another size than it says");
            }
            return plain;
        }
    }

    private byte[] bytes(int count) throws IOException {
        byte[] bytes = peek(count);
        at += count;
        return bytes;
    }

    private byte[] peek(int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        while (buffer.hasRemaining()) {
            if (file.read(buffer, at + buffer.position()) < 0) {
                throw new IOException("the file has become shorter");
            }
        }
        return buffer.array();
    }
}
