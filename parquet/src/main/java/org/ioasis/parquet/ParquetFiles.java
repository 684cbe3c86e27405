// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import org.ioasis.record.RowFiles;

/** Recordings as Parquet files (version 2 pages, gzip). Any thread. */
public final class ParquetFiles implements RowFiles {
    @Override
    public Writer create(FileChannel file) throws IOException {
        return new ParquetRows(file);
    }

    @Override
    public Reader open(Path file) throws IOException {
        return ParquetReading.open(file);
    }
}
