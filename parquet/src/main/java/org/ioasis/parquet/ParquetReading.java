// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import static java.util.Objects.requireNonNullElse;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.ColumnReadStore;
import org.apache.parquet.column.ColumnReader;
import org.apache.parquet.column.impl.ColumnReadStoreImpl;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.format.ColumnChunk;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.CompressionCodec;
import org.apache.parquet.format.FileMetaData;
import org.apache.parquet.format.KeyValue;
import org.apache.parquet.format.RowGroup;
import org.apache.parquet.format.Util;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.schema.MessageType;
import org.ioasis.record.Event;
import org.ioasis.record.Row;
import org.ioasis.record.RowFiles;
import org.jspecify.annotations.Nullable;

/**
 * Reads a recording, which anybody may have written: what it says of itself is believed only as far
 * as ours go, and no more than a page of each column is in memory. One thread.
 */
final class ParquetReading implements RowFiles.Reader {
    /** What is at a file's beginning and end at least. */
    private static final int FRAME = 12;

    /** Bytes of what a file says of itself. */
    static final int TAIL_MAX = 1 << 22;

    /** Words of a recording: those of its statuses, refusals and IOMMUs. */
    private static final int WORDS_MAX = 1 << 12;

    /** Bytes of such a word: they are kept, and by who counts them. */
    private static final int WORD_MAX = 512;

    private static final String SCHEMA = "ioasis.schema";

    /** The library hands values over when it is asked, and nobody listens. */
    private static final GroupConverter NOBODY =
            new GroupConverter() {
                @Override
                public Converter getConverter(int field) {
                    return new PrimitiveConverter() {};
                }

                @Override
                public void start() {
                    // Nobody.
                }

                @Override
                public void end() {
                    // Nobody.
                }
            };

    private final Path path;
    private final FileChannel file;
    private final MessageType schema = Columns.schema();
    private final List<RowGroup> groups;
    private final Map<String, String> about = new LinkedHashMap<>();
    private final Map<Binary, String> words = new HashMap<>();
    private final ColumnReader[] columns = new ColumnReader[Columns.values().length];
    private final long rows;
    private int nextGroup;
    private long left;
    private long done;

    private ParquetReading(Path path, FileChannel file, FileMetaData all) throws IOException {
        this.path = path;
        this.file = file;
        groups = requireNonNullElse(all.getRow_groups(), List.of());
        for (KeyValue pair : requireNonNullElse(all.getKey_value_metadata(), List.<KeyValue>of())) {
            about.put(
                    requireNonNullElse(pair.getKey(), ""), requireNonNullElse(pair.getValue(), ""));
        }
        String difference = Columns.difference(all.getSchema());
        if (difference != null || !"1".equals(about.get(SCHEMA))) {
            throw wrong(
                    "is a Parquet file and no recording of Ioasis: "
                            + (difference == null ? SCHEMA + " is not 1" : difference));
        }
        long sum = 0;
        for (RowGroup group : groups) {
            if (group.getNum_rows() < 1 || group.getNum_rows() > ParquetRows.PART_ROWS) {
                throw wrong("has a part of %d rows".formatted(group.getNum_rows()));
            }
            sum += group.getNum_rows();
        }
        rows = sum;
    }

    static ParquetReading open(Path path) throws IOException {
        if (!Files.isRegularFile(path)) {
            throw new IOException(
                    path + (Files.exists(path) ? " is no regular file" : " does not exist"));
        }
        FileChannel file = FileChannel.open(path);
        boolean isOpen = false;
        try {
            ParquetReading reading = new ParquetReading(path, file, all(path, file));
            isOpen = true;
            return reading;
        } finally {
            if (!isOpen) {
                file.close();
            }
        }
    }

    private static FileMetaData all(Path path, FileChannel file) throws IOException {
        long size = file.size();
        if (size < FRAME || !Arrays.equals(bytes(file, 0, 4), ParquetRows.MAGIC)) {
            throw new IOException(path + " is no Parquet file");
        }
        ByteBuffer end = ByteBuffer.wrap(bytes(file, size - 8, 8)).order(ByteOrder.LITTLE_ENDIAN);
        int length = end.getInt();
        byte[] magic = new byte[4];
        end.get(magic);
        if (!Arrays.equals(magic, ParquetRows.MAGIC)) {
            throw new IOException(
                    path + " has no end: it was cut, or is being written this very moment");
        }
        if (length < 1 || length > Math.min(TAIL_MAX, size - FRAME)) {
            throw new IOException(path + " says that its end has %d bytes".formatted(length));
        }
        byte[] tail = bytes(file, size - 8 - length, length);
        try {
            return Util.readFileMetaData(new ByteArrayInputStream(tail), length);
        } catch (IOException | RuntimeException | StackOverflowError e) {
            // The last of them: fields in fields in fields, which the format bounds nowhere.
            throw new IOException(path + " has an end that cannot be read", e);
        }
    }

    private static byte[] bytes(FileChannel file, long at, int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        while (buffer.hasRemaining()) {
            if (file.read(buffer, at + buffer.position()) < 0) {
                throw new IOException("the file has become shorter");
            }
        }
        return buffer.array();
    }

    private IOException wrong(String what) {
        return new IOException(path + " " + what);
    }

    @Override
    public Map<String, String> about() {
        return about;
    }

    @Override
    public long rows() {
        return rows;
    }

    @Override
    public boolean next(Row row) throws IOException {
        try {
            if (left == 0) {
                if (nextGroup == groups.size()) {
                    return false;
                }
                begin(groups.get(nextGroup++));
            }
            read(row);
            left--;
            done++;
            return true;
        } catch (UncheckedIOException e) {
            throw damaged(requireNonNullElse(e.getCause(), e));
        } catch (IOException | RuntimeException e) {
            throw damaged(e);
        }
    }

    private IOException damaged(Exception e) {
        return new IOException(
                "%s is damaged at row %d: %s".formatted(path, done, e.getMessage()), e);
    }

    private void begin(RowGroup group) throws IOException {
        List<ColumnChunk> chunks = group.getColumns();
        if (chunks == null || chunks.size() != columns.length) {
            throw new IOException("a part with other columns");
        }
        Map<ColumnDescriptor, PageReader> pages = new HashMap<>();
        List<ColumnDescriptor> descriptors = schema.getColumns();
        for (int i = 0; i < columns.length; i++) {
            ColumnChunk chunk = chunks.get(i);
            Columns column = Columns.named(descriptors.get(i).getPath()[0]);
            ColumnMetaData its = chunk.getMeta_data();
            if (its == null
                    || chunk.isSetFile_path()
                    || its.getType() != column.type()
                    || its.getCodec() != CompressionCodec.GZIP) {
                throw new IOException("another column in the place of " + column.column());
            }
            ColumnDescriptor descriptor = descriptors.get(i);
            pages.put(
                    descriptor,
                    new ChunkPages(
                            file, column, descriptor.getPrimitiveType(), its, group.getNum_rows()));
        }
        ColumnReadStore store =
                new ColumnReadStoreImpl(store(pages, group.getNum_rows()), NOBODY, schema, "");
        for (int i = 0; i < columns.length; i++) {
            columns[i] = store.getColumnReader(descriptors.get(i));
        }
        left = group.getNum_rows();
    }

    private static PageReadStore store(Map<ColumnDescriptor, PageReader> pages, long rows) {
        return new PageReadStore() {
            @Override
            public PageReader getPageReader(ColumnDescriptor column) {
                PageReader found = pages.get(column);
                if (found == null) {
                    throw new IllegalArgumentException("no column " + column);
                }
                return found;
            }

            @Override
            public long getRowCount() {
                return rows;
            }
        };
    }

    private void read(Row row) throws IOException {
        long sequence = number(Columns.SEQUENCE, 0);
        long time = number(Columns.TIME, 0);
        row.begin(sequence, time, Event.valueOf(word(Columns.EVENT)), word(Columns.IOMMU));
        row.endpoint(unsigned(Columns.ENDPOINT));
        row.pasid(unsigned(Columns.PASID));
        row.domain(unsigned(Columns.DOMAIN));
        long first = number(Columns.FIRST, 0);
        row.range(first, number(Columns.LAST, 0));
        row.output(number(Columns.OUTPUT, 0));
        row.flags((int) unsigned(Columns.FLAGS, 0));
        row.status(optional(Columns.STATUS));
        row.refusal(optional(Columns.REFUSAL));
        row.lost(number(Columns.LOST, 0));
        // A refused request may be backward; an access is not.
        boolean isBackward = Long.compareUnsigned(first, row.last()) > 0;
        if (sequence != done || (row.event() == Event.ACCESS && isBackward)) {
            throw new IOException("a row that cannot be: " + row);
        }
    }

    @SuppressWarnings("EnumOrdinal") // columns are in the file in this order
    private ColumnReader reader(Columns column) {
        return columns[column.ordinal()];
    }

    private long number(Columns column, long otherwise) {
        ColumnReader reader = reader(column);
        long value =
                reader.getCurrentDefinitionLevel() == column.definition()
                        ? reader.getLong()
                        : otherwise;
        reader.consume();
        return value;
    }

    private long unsigned(Columns column) {
        return unsigned(column, Row.NONE);
    }

    private long unsigned(Columns column, long otherwise) {
        ColumnReader reader = reader(column);
        long value =
                reader.getCurrentDefinitionLevel() == column.definition()
                        ? Integer.toUnsignedLong(reader.getInteger())
                        : otherwise;
        reader.consume();
        return value;
    }

    private String word(Columns column) throws IOException {
        String word = optional(column);
        if (word == null) {
            throw new IOException("a row without " + column.column());
        }
        return word;
    }

    private @Nullable String optional(Columns column) throws IOException {
        ColumnReader reader = reader(column);
        String word =
                reader.getCurrentDefinitionLevel() == column.definition()
                        ? word(reader.getBinary())
                        : null;
        reader.consume();
        return word;
    }

    private String word(Binary bytes) throws IOException {
        String known = words.get(bytes);
        if (known != null) {
            return known;
        }
        if (words.size() == WORDS_MAX) {
            throw new IOException("more than %d different words".formatted(WORDS_MAX));
        }
        if (bytes.length() > WORD_MAX) {
            throw new IOException(
                    "a word of %d bytes, more than %d".formatted(bytes.length(), WORD_MAX));
        }
        String word = bytes.toStringUsingUTF8();
        // It goes to a terminal.
        if (word.chars().anyMatch(Character::isISOControl)) {
            throw new IOException("a word with control characters");
        }
        words.put(bytes.copy(), word);
        return word;
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
