// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Map;
import java.util.ServiceLoader;

/**
 * The format of recordings as files: a service, because the library that knows it is no module of
 * Java and so stands on the class path. Any thread.
 */
public interface RowFiles {
    /** The one that is there. */
    static RowFiles found() {
        return ServiceLoader.load(RowFiles.class, RowFiles.class.getClassLoader())
                .findFirst()
                .orElseThrow(() ->
                        new IllegalStateException(
                                "the part of Ioasis that writes and reads recordings is not on the class path"));
    }

    /**
     * Begins a file.
     *
     * @param file empty; closed by the caller
     */
    Writer create(FileChannel file) throws IOException;

    /**
     * Opens a file.
     *
     * @throws IOException it cannot be read, is no recording, or one that was not brought to its
     *     end
     */
    Reader open(Path file) throws IOException;

    /** Writes rows. One thread. */
    interface Writer extends AutoCloseable {
        /** Adds a row, which may stay in memory. */
        void add(Row row) throws IOException;

        /** Rows that are not in the file yet. */
        int pending();

        /** Most of {@link #pending}: then {@link #flush} is due. */
        int pendingLimit();

        /** Parts of which the file consists now: each {@link #flush} is one. */
        int parts();

        /**
         * True if the file is to get no part more but the one that ends it: a reader takes only so
         * many.
         */
        boolean isFull();

        /** Bytes of the file now. */
        long bytes();

        /**
         * Brings all rows into the file, which is whole then, whatever happens to this process.
         *
         * @param limit bytes that the file may have
         * @return false if it would have more: the rows are dropped, and the file stays as it was
         * @throws IOException it cannot be written; then it is as it was before, as far as possible
         */
        boolean flush(Map<String, String> about, long limit) throws IOException;

        @Override
        void close();
    }

    /** Reads rows, in their order. One thread. */
    interface Reader extends AutoCloseable {
        /** What was said of the recording. */
        Map<String, String> about();

        /** Rows that there are. */
        long rows();

        /**
         * Reads the next row.
         *
         * @return false if there is none
         */
        boolean next(Row row) throws IOException;

        @Override
        void close() throws IOException;
    }
}
