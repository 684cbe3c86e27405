// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import java.nio.file.Path;
import java.util.List;
import java.util.function.IntConsumer;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.ioasis.sweep.Room;

/**
 * The cells of a sweep on the processors that there are, here or in a cluster. Opens no port but
 * for its own workers, on the loopback device alone while all is here. One thread.
 */
final class Job {
    private static final String LOOPBACK = "127.0.0.1";
    private static final String ALL_HERE = "local[*]";

    private Job() {}

    /**
     * @param master as Spark has it: {@code local[*]}, {@code spark://HOST:PORT} …
     * @param folder for what Spark keeps while it runs
     * @param jars of ours, for workers elsewhere
     * @param done hears how many cells are
     * @return in the order of the cells
     */
    static List<Cell.Result> run(
            List<Cell> cells, String master, Path folder, List<String> jars, IntConsumer done) {
        SparkConf conf =
                new SparkConf(false)
                        .setMaster(master.equals(ALL_HERE) ? allHere() : master)
                        .setAppName("ioasis sweep")
                        .set("spark.ui.enabled", "false")
                        .set("spark.ui.showConsoleProgress", "false")
                        .set("spark.local.dir", folder.toString())
                        .set("spark.io.compression.codec", "lz4")
                        // A cell that fails does so for a reason, and again.
                        .set("spark.task.maxFailures", "1");
        if (master.startsWith("local")) {
            // Its ports are open to whoever is on this machine: they ask for a secret of this run.
            conf.set("spark.driver.host", LOOPBACK)
                    .set("spark.driver.bindAddress", LOOPBACK)
                    .set("spark.authenticate", "true");
        } else {
            conf.setJars(jars.toArray(String[]::new))
                    // A cluster's own Parquet may be older than what recordings are read with.
                    .set("spark.executor.userClassPathFirst", "true")
                    .set("spark.executor.extraJavaOptions", System.getProperty("ioasis.opens", ""));
        }
        try (JavaSparkContext spark = new JavaSparkContext(conf)) {
            spark.sc().addSparkListener(new Listener(done));
            return spark.parallelize(cells, cells.size()).map(Cell::run).collect();
        }
    }

    /** The processors here, but not more than there is memory for. */
    private static String allHere() {
        Runtime here = Runtime.getRuntime();
        return "local[%d]".formatted(Room.workers(here.maxMemory(), here.availableProcessors()));
    }

    private static final class Listener extends SparkListener {
        private final IntConsumer done;
        private int count;

        Listener(IntConsumer done) {
            this.done = done;
        }

        @Override
        public void onTaskEnd(SparkListenerTaskEnd end) {
            count++;
            done.accept(count);
        }
    }
}
