// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.zip.GZIPOutputStream;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.column.Encoding;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.column.page.PageWriter;
import org.apache.parquet.column.statistics.SizeStatistics;
import org.apache.parquet.column.statistics.Statistics;
import org.apache.parquet.column.statistics.geospatial.GeospatialStatistics;
import org.apache.parquet.format.ColumnChunk;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.CompressionCodec;
import org.apache.parquet.format.DataPageHeaderV2;
import org.apache.parquet.format.DictionaryPageHeader;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.PageType;
import org.apache.parquet.format.Util;
import org.jspecify.annotations.Nullable;

/**
 * The pages of one column of one part of a file, as they will be in it: the library encodes values,
 * here they are compressed and get their heads. One thread.
 */
final class ColumnPages implements PageWriter {
    /** Compresses nearly as well as the usual, at a third of its cost. */
    private static final int LEVEL = 3;

    private final Columns column;
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();
    private final ByteArrayOutputStream dictionary = new ByteArrayOutputStream();
    private final Set<org.apache.parquet.format.Encoding> encodings =
            EnumSet.noneOf(org.apache.parquet.format.Encoding.class);
    private long values;
    private long uncompressed;

    ColumnPages(Columns column) {
        this.column = column;
    }

    @Override
    public void writePageV2(
            int rowCount,
            int nullCount,
            int valueCount,
            BytesInput repetitionLevels,
            BytesInput definitionLevels,
            Encoding encoding,
            BytesInput bytes,
            Statistics<?> statistics)
            throws IOException {
        if (nullCount == valueCount) {
            // Nothing of a dictionary that may not be there.
            page(rowCount, nullCount, Encoding.PLAIN, definitionLevels, BytesInput.empty());
        } else {
            page(rowCount, nullCount, encoding, definitionLevels, bytes);
        }
        values += valueCount;
    }

    private void page(
            int rowCount,
            int nullCount,
            Encoding encoding,
            BytesInput definitionLevels,
            BytesInput bytes)
            throws IOException {
        byte[] compressed = compressed(bytes);
        int levels = (int) definitionLevels.size();
        PageHeader head =
                new PageHeader(
                        PageType.DATA_PAGE_V2,
                        Math.toIntExact(levels + bytes.size()),
                        levels + compressed.length);
        DataPageHeaderV2 of =
                new DataPageHeaderV2(rowCount, nullCount, rowCount, as(encoding), levels, 0);
        of.setIs_compressed(true);
        head.setData_page_header_v2(of);
        int before = data.size();
        Util.writePageHeader(head, data);
        uncompressed += data.size() - before + levels + bytes.size();
        definitionLevels.writeAllTo(data);
        data.write(compressed);
    }

    /** What the library calls, with statistics that are off. */
    @Override
    public void writePageV2(
            int rowCount,
            int nullCount,
            int valueCount,
            BytesInput repetitionLevels,
            BytesInput definitionLevels,
            Encoding encoding,
            BytesInput bytes,
            Statistics<?> statistics,
            @Nullable SizeStatistics sizes,
            @Nullable GeospatialStatistics places)
            throws IOException {
        writePageV2(
                rowCount,
                nullCount,
                valueCount,
                repetitionLevels,
                definitionLevels,
                encoding,
                bytes,
                statistics);
    }

    @Override
    public void writeDictionaryPage(DictionaryPage page) throws IOException {
        byte[] compressed = compressed(page.getBytes());
        PageHeader head =
                new PageHeader(
                        PageType.DICTIONARY_PAGE,
                        Math.toIntExact(page.getBytes().size()),
                        compressed.length);
        // A dictionary is plain, whatever the pages call their indices.
        head.setDictionary_page_header(
                new DictionaryPageHeader(
                        page.getDictionarySize(), org.apache.parquet.format.Encoding.PLAIN));
        Util.writePageHeader(head, dictionary);
        uncompressed += dictionary.size() + page.getBytes().size();
        dictionary.write(compressed);
        encodings.add(org.apache.parquet.format.Encoding.PLAIN);
    }

    private org.apache.parquet.format.Encoding as(Encoding encoding) {
        org.apache.parquet.format.Encoding same =
                org.apache.parquet.format.Encoding.valueOf(encoding.name());
        encodings.add(same);
        return same;
    }

    private static byte[] compressed(BytesInput bytes) throws IOException {
        ByteArrayOutputStream target = new ByteArrayOutputStream();
        try (OutputStream gzip = new Gzip(target)) {
            bytes.writeAllTo(gzip);
        }
        return target.toByteArray();
    }

    private static final class Gzip extends GZIPOutputStream {
        private static final int BUFFER = 1 << 14;

        Gzip(OutputStream target) throws IOException {
            super(target, BUFFER);
            def.setLevel(LEVEL);
        }
    }

    /** Adds all pages to a file, and says where they are. */
    ColumnChunk finish(OutputStream file, long at) throws IOException {
        dictionary.writeTo(file);
        data.writeTo(file);
        List<org.apache.parquet.format.Encoding> used = new ArrayList<>(encodings);
        // Of the levels.
        if (!used.contains(org.apache.parquet.format.Encoding.RLE)) {
            used.add(org.apache.parquet.format.Encoding.RLE);
        }
        ColumnMetaData about =
                new ColumnMetaData(
                        column.type(),
                        used,
                        List.of(column.column()),
                        CompressionCodec.GZIP,
                        values,
                        uncompressed,
                        bytes(),
                        at + dictionary.size());
        if (dictionary.size() > 0) {
            about.setDictionary_page_offset(at);
        }
        ColumnChunk chunk = new ColumnChunk(at);
        chunk.setMeta_data(about);
        return chunk;
    }

    /** Of all pages. */
    long bytes() {
        return (long) dictionary.size() + data.size();
    }

    /** Of all pages, before they were compressed. */
    long uncompressed() {
        return uncompressed;
    }

    @Override
    public long getMemSize() {
        return bytes();
    }

    @Override
    public long allocatedSize() {
        return bytes();
    }

    @Override
    public String memUsageString(String prefix) {
        return prefix + " " + column + " " + bytes() + " bytes";
    }

    // The older kind of page, which the library does not write in the version that it is asked for.

    @Override
    @SuppressWarnings("deprecation") // a method of the interface
    public void writePage(
            BytesInput bytes,
            int valueCount,
            Statistics<?> statistics,
            Encoding repetition,
            Encoding definition,
            Encoding encoding) {
        throw new UnsupportedOperationException("a page of version 1");
    }

    @Override
    public void writePage(
            BytesInput bytes,
            int valueCount,
            int rowCount,
            Statistics<?> statistics,
            Encoding repetition,
            Encoding definition,
            Encoding encoding) {
        throw new UnsupportedOperationException("a page of version 1");
    }
}
