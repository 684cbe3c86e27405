// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.Encoding;
import org.apache.parquet.column.ParquetProperties;
import org.apache.parquet.column.values.ValuesWriter;
import org.apache.parquet.column.values.dictionary.DictionaryValuesWriter.PlainBinaryDictionaryValuesWriter;
import org.apache.parquet.column.values.factory.DefaultV2ValuesWriterFactory;
import org.apache.parquet.column.values.factory.ValuesWriterFactory;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.jspecify.annotations.Nullable;

/**
 * How values are encoded: as the library does it of itself, but for words, of which there are few.
 * They are always in a dictionary, also where a handful would be smaller without: so there is one
 * way to read them. One thread.
 */
final class Encoders implements ValuesWriterFactory {
    private final ValuesWriterFactory usual = new DefaultV2ValuesWriterFactory();
    private @Nullable ParquetProperties properties;

    @Override
    public void initialize(ParquetProperties chosen) {
        properties = chosen;
        usual.initialize(chosen);
    }

    @Override
    public ValuesWriter newValuesWriter(ColumnDescriptor column) {
        ParquetProperties known = properties;
        if (known == null) {
            throw new IllegalStateException("before initialize");
        }
        if (column.getPrimitiveType().getPrimitiveTypeName() != PrimitiveTypeName.BINARY) {
            return usual.newValuesWriter(column);
        }
        return new PlainBinaryDictionaryValuesWriter(
                known.getDictionaryPageSizeThreshold(),
                Encoding.RLE_DICTIONARY,
                Encoding.PLAIN,
                known.getAllocator());
    }
}
